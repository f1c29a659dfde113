package io.github.backnorm.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The programs of src/examples do what they say. */
final class ExamplesTest {
    @TempDir
    private Path folder;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    @Test
    void digits_twoEpochs_sameTextEachTimeAndPlot() throws IOException {
        Path plot = folder.resolve("plots").resolve("digits.png");
        assertThat(digits(2, plot)).isZero();
        String first = out.toString(StandardCharsets.UTF_8);
        out.reset();
        assertThat(digits(2, plot)).isZero();

        assertThat(out.toString(StandardCharsets.UTF_8)).isEqualTo(first);
        String epoch =
                " with batch norm: loss \\d\\.\\d{4}, accuracy +\\d+\\.\\d %  without: loss \\d\\.\\d{4}, accuracy +\\d+\\.\\d %";
        assertThat(first.lines())
                .hasSize(4)
                .anySatisfy(line ->
                        assertThat(line).matches("learning rate with batch norm: \\d\\.\\d+, without: \\d\\.\\d+"))
                .anySatisfy(line -> assertThat(line).matches("epoch  1 " + epoch))
                .anySatisfy(line -> assertThat(line).matches("epoch  2 " + epoch))
                .last()
                .asString()
                .matches("test accuracy with batch norm: 9\\d\\.\\d %, without: \\d\\d\\.\\d %");
        assertThat(Files.readAllBytes(plot)).startsWith(0x89, 'P', 'N', 'G');
    }

    @Test
    void digits_noSuchFile_exitCodeAndMessage() {
        Path missing = folder.resolve("none.csv.gz");
        assertThat(digits(2, folder.resolve("digits.png"), "1", missing.toString()))
                .isEqualTo(1);
        assertThat(err.toString(StandardCharsets.UTF_8))
                .startsWith("Digits: cannot read the digits: ")
                .contains("none.csv.gz");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "1,2,3",
                "a,b,c",
                "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
                        + "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,10"
            })
    void digits_lineThatIsNone_exitCodeAndMessage(String line) throws IOException {
        Path file = folder.resolve("bad.csv.gz");
        try (GZIPOutputStream gzip = new GZIPOutputStream(Files.newOutputStream(file))) {
            gzip.write(line.getBytes(StandardCharsets.US_ASCII));
        }
        assertThat(digits(2, folder.resolve("digits.png"), "1", file.toString()))
                .isEqualTo(1);
        assertThat(err.toString(StandardCharsets.UTF_8))
                .isEqualTo("Digits: cannot read the digits: line 1 is not 64 pixels and a label 0 to 9"
                        + System.lineSeparator());
    }

    @Test
    void quickStart_run_learnsExclusiveOr() {
        assertThat(printed(() -> QuickStart.main(new String[0])))
                .isEqualTo("4x1 [[0.0], [1.0], [1.0], [0.0]]" + System.lineSeparator());
    }

    @Test
    void ownLayer_run_errorFalls() {
        assertThat(printed(() -> OwnLayer.main(new String[0])))
                .containsPattern("step 300: mean squared error \\d\\.\\de-0[6-9]");
    }

    @Test
    void saveAndRestore_run_sameResults() {
        String text = printed(() -> {
            try {
                SaveAndRestore.main(new String[0]);
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        });
        assertThat(text).isEqualTo("same results: true" + System.lineSeparator());
    }

    private int digits(int epochs, Path plot, String... args) {
        return Digits.run(args, epochs, plot, print(out), print(err));
    }

    private String printed(Runnable program) {
        PrintStream console = System.out;
        System.setOut(print(out));
        try {
            program.run();
        } finally {
            System.setOut(console);
        }
        return out.toString(StandardCharsets.UTF_8);
    }

    private static PrintStream print(ByteArrayOutputStream to) {
        return new PrintStream(to, true, StandardCharsets.UTF_8);
    }
}
