package io.github.backnorm.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

final class TrainOnSparkTest {
    private static final String[] OPTIONS = {"--epochs", "2", "--layers", "20", "--block", "64", "--every", "3"};

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @Test
    void train_driverKilledAndStartedAgain_sameModel() throws Exception {
        assertThat(run("--model", folder.resolve("whole").toString())).isZero();
        String whole = out.toString();
        out.getBuffer().setLength(0);

        Path checkpoint = folder.resolve("checkpoint").resolve("checkpoint.safetensors");
        Process driver = driver("--checkpoint", checkpoint.getParent().toString());
        for (int i = 0; !Files.exists(checkpoint) && driver.isAlive() && i < 3000; i++) {
            TimeUnit.MILLISECONDS.sleep(100);
        }
        driver.destroyForcibly().waitFor();
        assertThat(checkpoint).exists();
        assertThat(driver.exitValue()).isNotZero(); // it had not ended
        assertThat(run(
                        "--checkpoint",
                        checkpoint.getParent().toString(),
                        "--model",
                        folder.resolve("again").toString()))
                .as(err.toString())
                .isZero();

        assertThat(whole).containsPattern("test accuracy \\d\\d\\.\\d %");
        assertThat(out.toString().lines().toList())
                .endsWith(whole.lines().skip(2).toArray(String[]::new));
        assertThat(folder.resolve("again")).hasSameBinaryContentAs(folder.resolve("whole"));
    }

    @Test
    void train_checkpointOfAnotherRun_refused() throws Exception {
        Path checkpoint = folder.resolve("checkpoint");
        assertThat(run("--checkpoint", checkpoint.toString(), "--epochs", "1")).isZero();
        assertThat(run("--checkpoint", checkpoint.toString(), "--seed", "2")).isEqualTo(1);
        assertThat(err.toString())
                .contains(
                        "checkpoint.safetensors is of a run with seed 1, rate",
                        ", expected seed 2, rate",
                        "; choose another folder");
    }

    @Test
    void train_noSuchColumn_refused() {
        assertThat(run("--label", "digit")).isEqualTo(1);
        assertThat(err.toString()).contains("TrainOnSpark: Blocks.new: column digit is missing, expected one of _c0, ");
    }

    private int run(String... options) {
        CommandLine program = TrainOnSpark.commandLine();
        program.setOverwrittenOptionsAllowed(true)
                .setOut(new PrintWriter(out, true))
                .setErr(new PrintWriter(err, true));
        return program.execute(arguments(options));
    }

    private static String[] arguments(String... options) {
        List<String> arguments = new ArrayList<>(List.of(OPTIONS));
        arguments.addAll(List.of(options));
        return arguments.toArray(String[]::new);
    }

    /** The program in a JVM of its own. */
    private Process driver(String... options) throws Exception {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                TestSessions.LIBRARY + File.pathSeparator + System.getProperty("java.class.path"),
                TrainOnSpark.class.getName()));
        command.addAll(List.of(arguments(options)));
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("log").toFile())
                .start();
    }
}
