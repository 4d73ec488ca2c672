package io.github.portkeep;

import java.io.IOException;
import java.net.ServerSocket;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/**
 * Ports that no other program can take, from Portkeep's port server.
 *
 * <p>{@code portkeep run --serve} has a server; otherwise this class starts {@code portkeep serve} when the
 * first port is needed, which ends with this virtual machine. Ports are reserved for TCP and UDP, for this
 * process and those that it starts, until it ends.
 */
public final class Portkeep {
    /** Standard input ends with this process, however it ends, and so does the server then. */
    private static final String UNTIL_INPUT_ENDS =
            "\"$@\" & server=$!; cat >/dev/null; kill \"$server\"; wait \"$server\"; rm -rf \"$0\"";

    private static Path server;
    private static boolean warned;

    private Portkeep() {}

    /**
     * Returns a port that is reserved for this process.
     *
     * <p>Without the command {@code portkeep} (the environment's {@code PORTKEEP_COMMAND}, or one in {@code
     * PATH}), it is a free port, and standard error says so once.
     *
     * @return another port each time
     * @throws IOException if the server has no port for this process
     */
    public static synchronized int port() throws IOException {
        Path place = place();
        return place == null ? freePort() : ask(place);
    }

    /**
     * Returns several ports.
     *
     * @param count how many
     * @return different ports, not necessarily in a row
     * @throws IOException if the server has no port for this process
     */
    public static int[] ports(int count) throws IOException {
        int[] ports = new int[count];
        for (int i = 0; i < count; i++) {
            ports[i] = port();
        }
        return ports;
    }

    private static Path place() throws IOException {
        // Java reaches no abstract addresses, which is what PORTSERVER_ADDRESS has.
        String named = System.getenv("PORTKEEP_SERVER");
        if (named != null && !named.isEmpty()) {
            return Path.of(named);
        }
        if (server == null && !warned) {
            server = start();
        }
        return server;
    }

    private static int ask(Path place) throws IOException {
        ByteBuffer answer = ByteBuffer.allocate(64);
        try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            channel.connect(UnixDomainSocketAddress.of(place));
            String request = ProcessHandle.current().pid() + "\n";
            channel.write(ByteBuffer.wrap(request.getBytes(StandardCharsets.US_ASCII)));
            while (answer.hasRemaining() && channel.read(answer) >= 0) {
                continue;
            }
        }
        answer.flip();
        String port = StandardCharsets.US_ASCII.decode(answer).toString().trim();
        try {
            return Integer.parseInt(port);
        } catch (NumberFormatException error) {
            throw new IOException("the port server has no port for this process");
        }
    }

    /** Starts a server; null if there is no command. */
    private static Path start() throws IOException {
        String command = System.getenv().getOrDefault("PORTKEEP_COMMAND", "portkeep");
        if (!System.getProperty("os.name").equals("Linux")) {
            return unprotected("Portkeep reserves ports on Linux");
        }
        Path directory = Files.createTempDirectory("portkeep-java-");
        Path place = directory.resolve("server");
        Path said = directory.resolve("said");
        Process process =
                new ProcessBuilder("/bin/sh", "-c", UNTIL_INPUT_ENDS, directory.toString(), command, "serve", "--address", place.toString())
                        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                        .redirectError(said.toFile())
                        .start();
        // The server answers, or says why not; the shell says that there is no command.
        while (process.isAlive() && !answers(place)) {
            String text = Files.readString(said);
            // A line may come in pieces.
            if (text.endsWith("\n") && !text.contains("only keeps books")) {
                process.getOutputStream().close();
                return unprotected(text.lines().findFirst().orElse(""));
            }
            try {
                process.waitFor(10, TimeUnit.MILLISECONDS);
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
                process.getOutputStream().close();
                throw new IOException("interrupted while the port server was starting", error);
            }
        }
        if (Files.readString(said).contains("only keeps books")) {
            System.err.println("portkeep: the ports are unprotected: the port server only keeps books, for the kernel part is not enabled");
        }
        return place;
    }

    private static boolean answers(Path place) {
        try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            return channel.connect(UnixDomainSocketAddress.of(place));
        } catch (IOException error) {
            return false;
        }
    }

    private static Path unprotected(String reason) {
        if (!warned) {
            System.err.println("portkeep: the ports are unprotected: " + reason);
        }
        warned = true;
        return null;
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}
