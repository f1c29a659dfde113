package io.github.backnorm.examples;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.github.backnorm.Matrix;
import io.github.backnorm.Safetensors;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import me.tongfei.progressbar.ProgressBar;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The programs that learn from a table and serve what was learned. */
final class TabularTest {
    private static final String HEADER = "a,b,benign\n";
    private static final Path CANCER = TabularData.example();

    @TempDir
    private Path folder;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    @Test
    void tabular_threeEpochs_sameTextAndModelEachTime() throws IOException {
        Path first = folder.resolve("first").resolve("model.safetensors");
        Path second = folder.resolve("second").resolve("model.safetensors");
        assertThat(tabular(3, first)).isZero();
        String text = out.toString(StandardCharsets.UTF_8);
        out.reset();
        assertThat(tabular(3, second, "1", unzipped().toString())).isZero();

        assertThat(out.toString(StandardCharsets.UTF_8)).isEqualTo(text.replace(first.toString(), second.toString()));
        assertThat(second).hasSameBinaryContentAs(first);
        String number = "\\d\\.\\d{4}";
        assertThat(text.lines())
                .satisfiesExactly(
                        line -> assertThat(line).isEqualTo("seed  epochs  best  accuracy     AUC  cross-entropy"),
                        line -> assertThat(line)
                                .matches("   1       3     [123]    " + number + "  " + number + "         " + number),
                        line -> assertThat(line).matches("of benign 0, taken for 0: \\d+, for 1: \\d+"),
                        line -> assertThat(line).matches("of benign 1, taken for 0: \\d+, for 1: \\d+"),
                        line -> assertThat(line).isEqualTo("saved as " + first));
    }

    @Test
    void tabular_seeds_tableAndNoModel() {
        Path model = folder.resolve("model.safetensors");
        assertThat(tabular(2, model, "9-11")).isZero();

        assertThat(out.toString(StandardCharsets.UTF_8).lines())
                .satisfiesExactly(
                        line -> assertThat(line).startsWith("seed"),
                        line -> assertThat(line).startsWith("   9       2 "),
                        line -> assertThat(line).startsWith("  10       2 "),
                        line -> assertThat(line).startsWith("  11       2 "),
                        line -> assertThat(line).matches("mean accuracy: [0-9.]+ \\([0-9.]+ to [0-9.]+\\)"),
                        line -> assertThat(line).matches("mean AUC: [0-9.]+ \\([0-9.]+ to [0-9.]+\\)"),
                        line -> assertThat(line).matches("mean cross-entropy: [0-9.]+ \\([0-9.]+ to [0-9.]+\\)"));
        assertThat(model).doesNotExist();
    }

    @Test
    void train_allEpochs_stopsEarlyWithBestStateAndPredictsWell() throws IOException {
        TabularData data = TabularData.read(CANCER);
        List<String> names = data.names().subList(0, 30);
        Tabular.Rows rows = new Tabular.Rows(data.columns(names), data.labels("benign"));

        Tabular.Run run;
        try (ProgressBar progress = Progress.bar("", 60)) {
            run = Tabular.train(rows, 1, 60, progress);
        }

        assertThat(run.epochs()).isEqualTo(run.bestEpoch() + 10).isLessThan(60);
        Tabular.Split split = Tabular.Split.of(rows, new Random(1));
        assertThat(Tabular.loss(run.network(), split.validation())).isEqualTo(run.validationLoss());
        assertThat(Tabular.loss(run.network(), split.test()))
                .isEqualTo(run.test().loss());
        assertThat(run.test().accuracy()).isGreaterThan(0.9);
        assertThat(run.test().auc()).isGreaterThan(0.95);
        double ones = split.test().target().sum();
        Matrix confusion = run.test().confusion();
        assertThat(confusion.rowSums()).isEqualTo(Matrix.of(2, 1, 114 - ones, ones));
        assertThat((confusion.get(0, 0) + confusion.get(1, 1)) / 114)
                .isEqualTo(run.test().accuracy());
    }

    @Test
    void split_of_isEachRowOnce() {
        Matrix numbers = Matrix.generate(569, 1, (row, column) -> row);
        Tabular.Split split = Tabular.Split.of(new Tabular.Rows(numbers, numbers), new Random(1));

        assertThat(split.training().x().rows()).isEqualTo(341);
        assertThat(split.validation().x().rows()).isEqualTo(114);
        assertThat(split.test().x().rows()).isEqualTo(114);
        assertThat(Stream.of(split.training(), split.validation(), split.test())
                        .flatMapToDouble(part -> DoubleStream.of(part.x().toArray()))
                        .sorted())
                .containsExactly(DoubleStream.of(numbers.toArray()).boxed().toArray(Double[]::new));
    }

    @Test
    void auc_handMadeScores_isPartOfPairsInOrder() {
        assertThat(Tabular.auc(new double[] {1, 2, 3, 4}, new double[] {0, 0, 1, 1}))
                .isEqualTo(1);
        assertThat(Tabular.auc(new double[] {4, 3, 2, 1}, new double[] {0, 0, 1, 1}))
                .isZero();
        assertThat(Tabular.auc(new double[] {7, 7, 7}, new double[] {0, 1, 1})).isEqualTo(0.5);
        assertThat(Tabular.auc(new double[] {3, 2, 2, 1}, new double[] {1, 1, 0, 0}))
                .isEqualTo(3.5 / 4);
        assertThat(Tabular.auc(new double[] {1, 2}, new double[] {1, 1})).isNaN();
    }

    static Stream<Arguments> unreadable() {
        String row = "1,2,0\n";
        String least = "there are %d rows, expected at least 64";
        return Stream.of(
                arguments("", String.format(least, 0)),
                arguments(HEADER, String.format(least, 0)),
                arguments(HEADER + row.repeat(63), String.format(least, 63)),
                arguments("a,b,c\n" + row.repeat(64), "line 1, column benign is missing"),
                arguments("a,a,benign\n" + row, "Header contains duplicate fields: [a]"),
                arguments(HEADER + row + "1,2\n", "line 3, column benign is \"\", expected a finite number"),
                arguments(HEADER + row + "1,2,0,3\n", "line 3 has 4 cells, expected 3"),
                arguments(HEADER + "1,,0\n", "line 2, column b is \"\", expected a finite number"),
                arguments(HEADER + "\n1,2 m,0\n", "line 3, column b is \"2 m\", expected a finite number"),
                arguments(HEADER + "\"1\n2\",2,0\n", "line 2, column a is \"1 2\", expected a finite number"),
                arguments(HEADER + "NaN,2,0\n", "line 2, column a is \"NaN\", expected a finite number"),
                arguments(HEADER + "1,-Infinity,0\n", "line 2, column b is \"-Infinity\", expected a finite number"),
                arguments(HEADER + "1,1e999,0\n", "line 2, column b is \"1e999\", expected a finite number"),
                arguments(HEADER + row.repeat(63) + "\n1,2,0.5\n", "line 66, column benign is 0.5, expected 0 or 1"),
                arguments(HEADER + "1,2,2\n" + row.repeat(63), "line 2, column benign is 2.0, expected 0 or 1"),
                arguments(HEADER + row.repeat(64), "column benign is 0.0 in all rows"),
                arguments(HEADER + "1,\"2,0\n", "Unclosed quoted field at end of input (record starting at line 2)"));
    }

    @ParameterizedTest
    @MethodSource("unreadable")
    void tabular_unreadableTable_exitCodeAndMessage(String csv, String message) throws IOException {
        Path file = folder.resolve("bad.csv");
        Files.writeString(file, csv);
        assertRefused("Tabular: " + file + ": " + message, tabular(2, folder.resolve("model"), "1", file.toString()));
    }

    @ParameterizedTest
    @CsvSource({"1000, Unexpected end of ZLIB input stream", "5, ends too early", "0, ends too early"})
    void tabular_truncatedFile_exitCodeAndMessage(int bytes, String message) throws IOException {
        Path file = folder.resolve("bad.csv.gz");
        Files.write(file, Arrays.copyOf(Files.readAllBytes(CANCER), bytes));
        assertRefused("Tabular: " + file + ": " + message, tabular(2, folder.resolve("model"), "1", file.toString()));
    }

    @Test
    void tabular_plainTextNamedGz_exitCodeAndMessage() throws IOException {
        Path file = folder.resolve("plain.csv.gz");
        Files.writeString(file, HEADER);
        assertRefused(
                "Tabular: " + file + ": Not in GZIP format", tabular(2, folder.resolve("model"), "1", file.toString()));
    }

    @Test
    void tabular_noSuchFile_exitCodeAndMessage() {
        assertThat(tabular(2, folder.resolve("model"), "1", "none.csv")).isEqualTo(1);
        assertThat(err.toString(StandardCharsets.UTF_8)).matches("Tabular: none\\.csv \\(.*\\)\\R");
    }

    @Test
    void tabular_columnWithoutVariance_exitCodeAndMessage() throws IOException {
        Path file = folder.resolve("huge.csv");
        Files.writeString(file, HEADER + "1e308,2,0\n-1e308,2,1\n".repeat(64));
        assertThat(tabular(2, folder.resolve("model"), "1", file.toString())).isEqualTo(1);
        assertThat(err.toString(StandardCharsets.UTF_8)).matches("Tabular: Network.forward: layer 0 .*\\R");
    }

    @ParameterizedTest
    @ValueSource(strings = {"abc", "1-", "3-2", "1-9223372036854775807", "99999999999999999999"})
    void tabular_seedThatIsNone_exitCodeAndMessage(String seed) {
        assertRefused(
                "Tabular: seed is " + seed + ", expected a whole number, or two as in 1-10",
                tabular(2, folder.resolve("model"), seed));
    }

    @Test
    void serveTabular_savedModel_sameBitsAndLatencies() throws Exception {
        Path model = folder.resolve("model.safetensors");
        assertThat(tabular(2, model)).isZero();
        out.reset();

        assertThat(serve(model.toString())).isZero();

        assertThat(out.toString(StandardCharsets.UTF_8).lines())
                .satisfiesExactly(
                        line -> assertThat(line).isEqualTo("4552 rows, each inferred by itself, from 4 threads"),
                        line -> assertThat(line)
                                .matches(
                                        "from a row to its probability: median [0-9.]+ µs, 99th percentile [0-9.]+ µs"),
                        line -> assertThat(line).isEqualTo("same bits as in one batch: true"));
    }

    @Test
    void columns_inAnotherOrderThanInTheFile_areThoseOfTheNames() throws IOException {
        Path file = folder.resolve("table.csv");
        Files.writeString(file, "\ufeff" + HEADER + "1,2,0\n3,4,1\n"); // with the mark of some spreadsheets
        assertThat(TabularData.read(file).columns(List.of("b", "a"))).isEqualTo(Matrix.ofRows(new double[][] {
            {2, 1}, {4, 3}
        }));
    }

    @Test
    void serveTabular_faults_exitCodeAndMessage() throws Exception {
        Path model = folder.resolve("model.safetensors");
        assertRefused("ServeTabular: there is no " + model + "; run Tabular first", serve(model.toString()));

        assertThat(tabular(1, model)).isZero();
        Path table = folder.resolve("table.csv");
        Files.writeString(table, HEADER);
        assertRefused(
                "ServeTabular: " + table + ": there are 0 rows, expected at least 1",
                serve(model.toString(), table.toString()));
        Files.writeString(table, Files.readString(unzipped()).replaceFirst("worst_area", "area"));
        assertRefused(
                "ServeTabular: " + table + ": line 1, column worst_area is missing",
                serve(model.toString(), table.toString()));

        Safetensors.of(Map.of()).writeTo(model);
        assertRefused(
                "ServeTabular: " + model + " has no entry columns, expected a file of Tabular",
                serve(model.toString()));
        Safetensors.of(Map.of()).withMetadata("columns", "a").writeTo(model);
        assertThat(serve(model.toString())).isEqualTo(1);
        assertThat(err.toString(StandardCharsets.UTF_8)).startsWith("ServeTabular: PyTorch.network: ");
    }

    private void assertRefused(String message, int exitCode) {
        assertThat(exitCode).isEqualTo(1);
        assertThat(err.toString(StandardCharsets.UTF_8)).isEqualTo(message + System.lineSeparator());
        err.reset();
    }

    private int tabular(int epochs, Path model, String... args) {
        return Tabular.run(args, epochs, model, print(out), print(err));
    }

    private int serve(String... args) throws Exception {
        return ServeTabular.run(args, 2, print(out), print(err));
    }

    /** The table that comes with the examples, as plain text. */
    private Path unzipped() throws IOException {
        Path file = folder.resolve("plain.csv");
        try (GZIPInputStream in = new GZIPInputStream(Files.newInputStream(CANCER))) {
            Files.write(file, in.readAllBytes());
        }
        return file;
    }

    private static PrintStream print(ByteArrayOutputStream to) {
        return new PrintStream(to, true, StandardCharsets.UTF_8);
    }
}
