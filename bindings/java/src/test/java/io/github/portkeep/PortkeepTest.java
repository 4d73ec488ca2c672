package io.github.portkeep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.portkeep.junit.ReservedPort;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.BindException;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class PortkeepTest {
    /** What keeps ports here, by the scene that bindings/test sets: kernel, server or books. */
    private static final String EXPECTED = System.getenv().getOrDefault("PORTKEEP_EXPECT", "books");

    @ReservedPort static int ofTheClass;

    @ReservedPort(count = 2)
    int[] ofTheTest;

    private final int ofTheConstructor;

    PortkeepTest(@ReservedPort int port) {
        ofTheConstructor = port;
    }

    @Test
    void portsDiffer(@ReservedPort int one, @ReservedPort Integer other, @ReservedPort(count = 3) int[] more)
            throws IOException {
        int[] all = {ofTheClass, ofTheTest[0], ofTheTest[1], ofTheConstructor, one, other, more[0], more[1], more[2]};
        assertEquals(all.length, Arrays.stream(all).distinct().count());
        for (int port : all) {
            new ServerSocket(port).close();
        }
    }

    @Test
    void childrenBind(@ReservedPort int port) throws Exception {
        Process child = Child.start(Integer.toString(port)).start();
        assertEquals("bound", line(child));
        assertEquals(0, child.waitFor());
    }

    @Test
    @Timeout(120)
    void strangersAreRefusedUntilTheProcessEnds() throws Exception {
        Process other = Child.start().start();
        int port = Integer.parseInt(line(other));
        if (EXPECTED.equals("books")) {
            new ServerSocket(port).close();
        } else {
            assertThrows(BindException.class, () -> new ServerSocket(port));
        }
        other.destroyForcibly().waitFor();
        // The server learns of it, and takes the port back. That of `run` holds it for the next one.
        while (!EXPECTED.equals("server")) {
            try (ServerSocket socket = new ServerSocket(port)) {
                break;
            } catch (BindException error) {
                Thread.sleep(10);
            }
        }
    }

    @Test
    void withoutTheCommandItSaysSo() throws Exception {
        ProcessBuilder child = Child.start();
        child.environment().remove("PORTKEEP_SERVER");
        child.environment().put("PORTKEEP_COMMAND", "/nowhere/portkeep");
        child.redirectErrorStream(true);
        Process process = child.start();
        String said = line(process);
        assertTrue(said.startsWith("portkeep: the ports are unprotected: "), said);
        assertTrue(said.contains("not found"), said);
        process.getOutputStream().close();
        assertEquals(0, process.waitFor());
    }

    private static String line(Process process) throws IOException {
        return new BufferedReader(process.inputReader(StandardCharsets.UTF_8)).readLine();
    }
}
