package io.github.backnorm.examples;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.github.backnorm.Matrix;
import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The programs of src/examples do what they say. */
final class ExamplesTest {
    @TempDir
    private Path folder;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    @Test
    void digits_twoEpochs_sameTextEachTime() {
        assertThat(digits(2)).isZero();
        String first = out.toString(StandardCharsets.UTF_8);
        out.reset();
        assertThat(digits(2)).isZero();

        assertThat(out.toString(StandardCharsets.UTF_8)).isEqualTo(first);
        String figures = "loss \\d\\.\\d{4}, accuracy +\\d+\\.\\d %";
        String epoch = " with batch norm: " + figures + "  without: " + figures;
        assertThat(first.lines())
                .hasSize(4)
                .anySatisfy(line ->
                        assertThat(line).matches("learning rate with batch norm: \\d\\.\\d+, without: \\d\\.\\d+"))
                .anySatisfy(line -> assertThat(line).matches("epoch  1 " + epoch))
                .anySatisfy(line -> assertThat(line).matches("epoch  2 " + epoch))
                .last()
                .asString()
                .matches("test accuracy with batch norm: 9\\d\\.\\d %, without: \\d\\d\\.\\d %");
    }

    @Test
    void digits_noSuchFile_exitCodeAndMessage() {
        Path missing = folder.resolve("none.csv.gz");
        assertThat(digits(2, "1", missing.toString())).isEqualTo(1);
        assertThat(err.toString(StandardCharsets.UTF_8))
                .startsWith("Digits: cannot read the digits: ")
                .contains("none.csv.gz");
    }

    static Stream<Arguments> unreadable() {
        String blank = "0,".repeat(64);
        String bad = "cannot read the digits: line %d is not 64 pixels 0 to 16 and a label 0 to 9";
        return Stream.of(
                arguments("1,2,3", String.format(bad, 1)),
                arguments("a,b,c", String.format(bad, 1)),
                arguments(blank + "10", String.format(bad, 1)),
                arguments("17," + blank.substring(2) + "0", String.format(bad, 1)),
                arguments(blank + "9\n-1," + blank.substring(2) + "0", String.format(bad, 2)),
                arguments("", "cannot read the digits: there are 0, expected at least 616"),
                arguments((blank + "1\n").repeat(100), "cannot read the digits: there are 100, expected at least 616"));
    }

    @ParameterizedTest
    @MethodSource("unreadable")
    void digits_unreadableLines_exitCodeAndMessage(String lines, String message) throws IOException {
        Path file = folder.resolve("bad.csv.gz");
        try (GZIPOutputStream gzip = new GZIPOutputStream(Files.newOutputStream(file))) {
            gzip.write(lines.getBytes(StandardCharsets.US_ASCII));
        }
        assertThat(digits(2, "1", file.toString())).isEqualTo(1);
        assertThat(err.toString(StandardCharsets.UTF_8)).isEqualTo("Digits: " + message + System.lineSeparator());
    }

    @Test
    void digits_truncatedOrMalformedFile_exitCodeAndMessage() throws IOException {
        Path file = folder.resolve("bad.csv.gz");
        try (InputStream whole = Digits.class.getResourceAsStream("digits.csv.gz")) {
            Files.write(file, whole.readNBytes(1000));
        }
        assertThat(digits(2, "1", file.toString())).isEqualTo(1);
        Files.writeString(file, "no gzip");
        assertThat(digits(2, "1", file.toString())).isEqualTo(1);
        try (GZIPOutputStream gzip = new GZIPOutputStream(Files.newOutputStream(file))) {
            gzip.write("1,\"2".getBytes(StandardCharsets.US_ASCII));
        }
        assertThat(digits(2, "1", file.toString())).isEqualTo(1);
        assertThat(err.toString(StandardCharsets.UTF_8).lines())
                .hasSize(3)
                .allSatisfy(line -> assertThat(line).startsWith("Digits: cannot read the digits: "));
    }

    @Test
    void digits_seedThatIsNone_exitCodeAndMessage() {
        assertThat(digits(2, "abc")).isEqualTo(1);
        assertThat(err.toString(StandardCharsets.UTF_8))
                .isEqualTo("Digits: seed is abc, expected a whole number" + System.lineSeparator());
    }

    @Test
    void learningRates_oneEpoch_textAndPlot() throws IOException {
        Path plot = folder.resolve("plots").resolve("learning-rates.png");
        LearningRates.run(1, 1, plot, print(out));

        String percent = " +\\d+\\.\\d %";
        String rates = "(  rate \\d+\\.\\d+ *" + percent + " of the test rows \\(\\d+\\.\\d to \\d+\\.\\d %\\)\\R){7}";
        String best =
                "  best on the validation rows: rate \\d\\.\\d+," + percent + " \\(\\d+\\.\\d % of the test rows\\)\\R";
        assertThat(out.toString(StandardCharsets.UTF_8))
                .matches("with batch norm\\R" + rates + best + "without batch norm\\R" + rates + best);
        assertThat(colors(plot)).contains(Color.WHITE, Charts.BLUE, Charts.ORANGE);
    }

    @Test
    void speedChart_table_picture() throws IOException {
        Path table = folder.resolve("speed.csv");
        Path plot = folder.resolve("speed.png");
        Files.writeString(table, "µs,ours,PyTorch float64,PyTorch float32\nsmall,1,2,1.5\nlarge,30,20,10\n");
        SpeedChart.main(new String[] {table.toString(), plot.toString()});
        assertThat(colors(plot)).contains(Color.WHITE, Charts.BLUE, Charts.PALE_BLUE);
    }

    /** The documented command finds its table. */
    @Test
    void speedChart_tableOfTheDocumentation_picture() throws IOException {
        Path plot = folder.resolve("speed.png");
        SpeedChart.main(new String[] {"docs/images/speed.csv", plot.toString()});
        assertThat(colors(plot)).contains(Color.WHITE, Charts.BLUE, Charts.PALE_BLUE);
    }

    /** The colors of a picture of 1600×1040 dots. */
    private static Set<Color> colors(Path png) throws IOException {
        BufferedImage image = ImageIO.read(png.toFile());
        return IntStream.of(image.getRGB(0, 0, 1600, 1040, null, 0, 1600))
                .mapToObj(Color::new)
                .collect(Collectors.toSet());
    }

    @Test
    void quickStart_run_learnsExclusiveOr() throws Exception {
        assertThat(printed(() -> QuickStart.main(new String[0])))
                .isEqualTo("4x1 [[0.0], [1.0], [1.0], [0.0]]" + System.lineSeparator());
    }

    @Test
    void ownLayer_run_gradientsAreRightAndErrorFalls() throws Exception {
        assertThat(printed(() -> OwnLayer.main(new String[0])))
                .containsPattern("^worst relative error \\d\\.\\de-(0[7-9]|1\\d) at ")
                .containsPattern("step 300: mean squared error \\d\\.\\d+E-([6-9]|\\d\\d)");
    }

    @Test
    void dropout_run_gradientsAreRightAndServedErrsLess() throws Exception {
        assertThat(printed(() -> Dropout.main(new String[0])))
                .containsPattern("^worst relative error \\d\\.\\de-(0[7-9]|1\\d) at ")
                .containsPattern("step 300: mean squared error \\d\\.\\d+E-4\\R")
                .containsPattern("served: mean squared error \\d\\.\\d+E-4\\R$");
    }

    @Test
    void dropout_forward_entriesAreZeroOrScaledAsInBackward() {
        Random random = new Random(1);
        Dropout dropout = new Dropout(0.2, () -> random);
        Matrix ones = Matrix.filled(100, 100, 1);

        Matrix y = dropout.forward(ones);

        assertThat(y.toArray()).containsOnly(0, 1 / (1 - 0.2));
        // The number of zeros is binomial: mean 2000, standard deviation √(10000·0.2·0.8) = 40.
        assertThat(DoubleStream.of(y.toArray()).filter(entry -> entry == 0).count())
                .isBetween(2000L - 6 * 40, 2000L + 6 * 40);
        assertThat(dropout.backward(ones)).isEqualTo(y);
        assertThat(dropout.forward(ones)).isNotEqualTo(y);
        assertThat(dropout.infer(ones)).isEqualTo(ones);
    }

    @Test
    void dropout_withoutPassOrWithProbabilityOfOne_refused() {
        Dropout dropout = new Dropout(0, () -> new Random(1));
        assertThatIllegalStateException()
                .isThrownBy(() -> dropout.backward(Matrix.zeros(1, 1)))
                .withMessage("Dropout.backward: no forward pass to differentiate");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new Dropout(1, () -> new Random(1)))
                .withMessage("Dropout: probability is 1.0, expected 0 to less than 1");
    }

    @Test
    void byHand_run_lossesAreThoseOfLoss() throws Exception {
        assertThat(printed(() -> ByHand.main(new String[0])))
                .matches("largest difference between the losses: \\de-1[5-9]\\R");
    }

    @Test
    void inBlocks_run_exactUnlikeGradientsAddedUp() throws Exception {
        assertThat(printed(() -> InBlocks.main(new String[0])).lines())
                .satisfiesExactly(
                        line -> assertThat(line).matches("in blocks, off by (0e\\+00|\\de-1[5-9]) of its norm"),
                        line -> assertThat(line).matches("added up, off by 0\\.[2-9]\\d of its norm"));
    }

    @Test
    void weightDecay_run_errorFalls() throws Exception {
        assertThat(printed(() -> WeightDecay.main(new String[0])).lines())
                .hasSize(3)
                .last()
                .asString()
                .matches("step 300: mean squared error 0\\.00\\d+");
    }

    @Test
    void saveAndRestore_run_sameResults() throws Exception {
        assertThat(printed(() -> SaveAndRestore.main(new String[0])).lines())
                .containsExactly("same results: true, true", "resumed after epoch 4, same bits: true");
    }

    @Test
    void serveFromPyTorch_run_rightAsOftenAsInPyTorch() throws Exception {
        assertThat(printed(() -> ServeFromPyTorch.main(new String[0])).lines())
                .satisfiesExactly(
                        line -> assertThat(line).isEqualTo("right in PyTorch: 278 of 300"),
                        line -> assertThat(line).isEqualTo("right here: 278, folded: 278"),
                        line -> assertThat(line)
                                .matches("largest deviation from PyTorch's logits: \\de-1[3-9], folded: \\de-1[3-9]"),
                        line -> assertThat(line).isEqualTo("layer by layer: same bits: true"),
                        line -> assertThat(line).isEqualTo("first row: a 6 with probability 0.9996"),
                        line -> assertThat(line).isEqualTo("4 threads, row by row: same bits as in a batch: true"));
        assertThat(err.toString(StandardCharsets.UTF_8)).matches("\\d+ rows per second\\R");
    }

    private int digits(int epochs, String... args) {
        return Digits.run(args, epochs, print(out), print(err));
    }

    /** A main method. */
    private interface Program {
        void run() throws Exception;
    }

    private String printed(Program program) throws Exception {
        PrintStream console = System.out;
        PrintStream errors = System.err;
        System.setOut(print(out));
        System.setErr(print(err));
        try {
            program.run();
        } finally {
            System.setOut(console);
            System.setErr(errors);
        }
        return out.toString(StandardCharsets.UTF_8);
    }

    private static PrintStream print(ByteArrayOutputStream to) {
        return new PrintStream(to, true, StandardCharsets.UTF_8);
    }
}
