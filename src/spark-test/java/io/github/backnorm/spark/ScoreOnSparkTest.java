package io.github.backnorm.spark;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.when;
import static org.assertj.core.api.Assertions.assertThat;

import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Precision;
import io.github.backnorm.PyTorch;
import io.github.backnorm.Safetensors;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ScoreOnSparkTest {
    private static final Network NETWORK = ScorerTest.network(1).withPrecision(Precision.DOUBLE);
    private static final Matrix X = ScorerTest.gaussian(100, new Random(1));

    @TempDir
    private static Path inputs;

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeAll
    static void write() throws IOException {
        PyTorch.stateDict(NETWORK).writeTo(inputs.resolve("model"));
        Safetensors.of(NETWORK.state()).writeTo(inputs.resolve("no-modules"));
        try (SparkSession session = TestSessions.local()) {
            Dataset<Row> rows = ScorerTest.table(session, X);
            rows.write().parquet(inputs.resolve("rows").toString());
            rows.withColumn("x", when(col("id").notEqual(77), col("x")))
                    .write()
                    .parquet(inputs.resolve("nulls").toString());
        }
    }

    private int run(String rows, String model, String... more) {
        List<String> args =
                new ArrayList<>(List.of("--input", inputs.resolve(rows).toString(), "--features=x"));
        args.addAll(List.of("--model", inputs.resolve(model).toString(), "--output", output()));
        args.addAll(List.of(more));
        return ScoreOnSpark.commandLine()
                .setOut(new PrintWriter(out, true))
                .setErr(new PrintWriter(err, true))
                .execute(args.toArray(String[]::new));
    }

    private String output() {
        return folder.resolve("scored").toString();
    }

    private Matrix written() throws IOException {
        try (SparkSession session = TestSessions.local()) {
            return ScorerTest.scores(session.read().parquet(output()));
        }
    }

    @Test
    void run_table_writtenWithScoresOfFoldedNetwork() throws IOException {
        assertThat(run("rows", "model")).as("%s", err).isZero();
        assertThat(out).hasToString("100 rows with scores in " + output() + System.lineSeparator());
        assertThat(written()).isEqualTo(NETWORK.folded().infer(X));
    }

    @Test
    void run_unfolded_writtenWithScoresOfNetwork() throws IOException {
        assertThat(run("rows", "model", "--unfolded", "--master=local[1]"))
                .as("%s", err)
                .isZero();
        assertThat(written()).isEqualTo(NETWORK.infer(X));
    }

    @Test
    void run_missingOption_exitCodeAndUsage() {
        assertThat(ScoreOnSpark.commandLine().setErr(new PrintWriter(err, true)).execute())
                .isEqualTo(2);
        assertThat(err.toString()).startsWith("Missing required options: '--input=<path>'");
    }

    @Test
    void run_outputThatExists_refusedAndLeft() throws IOException {
        Path kept = Files.createDirectories(folder.resolve("scored")).resolve("kept");
        Files.writeString(kept, "");
        assertRefused(run("rows", "model"), "output " + output() + " exists, expected a new folder");
        assertThat(kept).exists();
    }

    @Test
    void run_filesThatAreNotThere_refused() {
        assertRefused(run("none", "model"), "[PATH_NOT_FOUND] Path does not exist: ");
        assertRefused(run("rows", "none"), "File " + inputs.resolve("none") + " does not exist");
        assertRefused(run("rows", "no-modules"), "PyTorch.network: metadata entry modules is missing");
    }

    @Test
    void run_rowWithNull_refusedAndOutputFree() {
        assertRefused(run("nulls", "model"), "Scorer.score: x is null in the row with id = 77, expected an array");
        assertThat(folder.resolve("scored")).doesNotExist();
    }

    @Test
    void run_masterThatIsNotThere_refused() throws IOException {
        int free;
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            free = socket.getLocalPort();
        }
        String master = "spark://127.0.0.1:" + free;
        assertRefused(
                run("rows", "model", "--master", master),
                "master " + master + " is not reachable, expected a running Spark master");
        assertRefused(run("rows", "model", "--master", "sparkle"), "Could not parse Master URL: 'sparkle'");
    }

    private void assertRefused(int code, String message) {
        assertThat(code).isEqualTo(1);
        assertThat(err.toString().lines()).singleElement().asString().startsWith("ScoreOnSpark: " + message);
        err.getBuffer().setLength(0);
    }
}
