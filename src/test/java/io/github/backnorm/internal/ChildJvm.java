package io.github.backnorm.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Runs a class of the library or of its tests in a JVM of its own, on the class path. */
public final class ChildJvm {
    /** When it hangs. The longest computes for 20 seconds, and on a loaded machine waits for most of the time. */
    private static final int MINUTES = 30;

    /** All that the JVM has printed, errors and warnings included. */
    private final String output;

    private ChildJvm(String output) {
        this.output = output;
    }

    /** Runs a class with options for the JVM, which must exit with 0. */
    public static ChildJvm run(Class<?> main, String... options) {
        List<String> arguments = new ArrayList<>(List.of(options));
        arguments.addAll(List.of(
                "-classpath",
                "target/classes" + System.getProperty("path.separator") + "target/test-classes",
                main.getName()));
        return start(arguments);
    }

    /** Runs Java with arguments; the JVM must exit with 0. */
    public static ChildJvm start(List<String> arguments) {
        try {
            List<String> command = new ArrayList<>(List.of(
                    Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Dstdout.encoding=UTF-8"));
            command.addAll(arguments);
            Path file = Files.createTempFile("backnorm", ".txt");
            try {
                Process process = new ProcessBuilder(command)
                        .redirectErrorStream(true)
                        .redirectOutput(file.toFile())
                        .start();
                boolean ended;
                try {
                    ended = process.waitFor(MINUTES, TimeUnit.MINUTES);
                } finally {
                    process.destroyForcibly();
                }
                String output = Files.readString(file, StandardCharsets.UTF_8);
                assertThat(ended && process.exitValue() == 0)
                        .as("%s: %s", command, output)
                        .isTrue();
                return new ChildJvm(output);
            } finally {
                Files.delete(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** The options of this JVM that decide on its kernels. */
    public static String[] optionsOfThisJvm() {
        return ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(option -> option.startsWith("-XX:") || option.startsWith("--add-modules"))
                .toArray(String[]::new);
    }

    String output() {
        return output;
    }

    /** The lines of the output, without the JVM's warning of the incubating module. */
    public List<String> lines() {
        return output.lines()
                .filter(line -> !line.contains("incubator modules"))
                .toList();
    }
}
