package io.github.portkeep;

import java.io.IOException;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.List;

/** Another process: it binds to a port, or gets one and prints it. */
final class Child {
    private Child() {}

    public static void main(String[] arguments) throws IOException {
        if (arguments.length == 0) {
            System.out.println(Portkeep.port());
            System.out.flush();
            // Until it is told to end.
            System.in.read();
            return;
        }
        try (ServerSocket socket = new ServerSocket(Integer.parseInt(arguments[0]))) {
            System.out.println("bound");
        } catch (IOException error) {
            System.out.println("refused");
        }
    }

    static ProcessBuilder start(String... arguments) {
        List<String> words = new ArrayList<>();
        words.add(ProcessHandle.current().info().command().orElse("java"));
        words.addAll(List.of("-cp", System.getProperty("java.class.path"), Child.class.getName()));
        words.addAll(List.of(arguments));
        return new ProcessBuilder(words).redirectError(ProcessBuilder.Redirect.INHERIT);
    }
}
