package io.github.backnorm.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.backnorm.BatchNorm;
import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.spark.SparkException;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Tables that can be trained on, and those that are refused. */
final class BlocksTest {
    private static SparkSession session;

    @BeforeAll
    static void open() {
        session = TestSessions.local();
    }

    @AfterAll
    static void close() throws IOException {
        session.close();
    }

    /** A table with the columns x, y and id. */
    private static Dataset<Row> table(DataType typeOfX, Object... xs) {
        List<Row> rows = new java.util.ArrayList<>();
        for (int i = 0; i < xs.length; i++) {
            rows.add(RowFactory.create(xs[i], i % 2, (long) i));
        }
        return session.createDataFrame(
                rows,
                new StructType()
                        .add("x", typeOfX)
                        .add("y", DataTypes.IntegerType)
                        .add("id", DataTypes.LongType));
    }

    private static double differentiate(Blocks blocks, Network network) {
        try (Epoch epoch = blocks.epoch(1, 1)) {
            return epoch.differentiate(0, network, LOSS);
        }
    }

    private static final BlockLoss LOSS = (y, targets) -> Loss.meanSquaredError(y, targets);

    @Test
    void differentiate_featuresInAnyForm_sameBits() {
        Network ofNumbers = new Network(new BatchNorm(1));
        double loss = differentiate(
                new Blocks(table(DataTypes.IntegerType, 3, 1, 4, 1, 5), 2, 2, List.of("y"), "x"), ofNumbers);
        Network ofArrays = new Network(new BatchNorm(1));
        DataType arrays = DataTypes.createArrayType(DataTypes.FloatType);
        Dataset<Row> inArrays = table(arrays, List.of(3f), List.of(1f), List.of(4f), List.of(1f), List.of(5f));
        Network ofVectors = new Network(new BatchNorm(1));
        Dataset<Row> inVectors = table(
                SQLDataTypes.VectorType(),
                Vectors.dense(3, new double[0]),
                Vectors.dense(1, new double[0]),
                Vectors.dense(4, new double[0]),
                Vectors.sparse(1, new int[] {0}, new double[] {1}),
                Vectors.dense(5, new double[0]));

        assertThat(differentiate(new Blocks(inArrays, 2, 2, List.of("y"), "x"), ofArrays))
                .isEqualTo(loss);
        assertThat(differentiate(new Blocks(inVectors, 2, 2, List.of("y"), "x"), ofVectors))
                .isEqualTo(loss);
        assertThat(ofArrays.state()).isEqualTo(ofNumbers.state());
        assertThat(ofVectors.state()).isEqualTo(ofNumbers.state());
    }

    @Test
    void withIds_equalRows_inDifferentBlocks() {
        Object[] ones = new Object[64];
        Arrays.fill(ones, 1.0);
        Dataset<Row> table = table(DataTypes.DoubleType, ones);
        Blocks byNumbers = new Blocks(table, 8, 8, List.of("y"), "x");
        assertThat(used(byNumbers)).isLessThanOrEqualTo(2); // y is 0 or 1
        assertThat(used(byNumbers.withIds("id"))).isGreaterThan(4);
    }

    /** How many blocks have rows. */
    private static long used(Blocks blocks) {
        try (Epoch epoch = blocks.epoch(1, 1)) {
            return epoch.rowsOfBlocks().stream().filter(rows -> rows > 0).count();
        }
    }

    @Test
    void new_tableThatDoesNotFit_refused() {
        Dataset<Row> table = table(DataTypes.StringType, "a", "b");
        assertRefused(
                () -> new Blocks(table, 1, 1, List.of("y"), "z"), "column z is missing, expected one of x, y, id");
        assertRefused(() -> new Blocks(table, 1, 1, List.of("y"), "x"), "column x is string, expected a number");
        assertRefused(() -> new Blocks(table, 1, 1, List.of("x"), "y"), "column x is string, expected a number");
        assertRefused(() -> new Blocks(table, 1, 1, List.of(), "y"), "number of targets is 0, expected at least 1");
        assertRefused(() -> new Blocks(table, 1, 1, List.of("y")), "number of features is 0, expected at least 1");
        assertRefused(() -> new Blocks(table, 0, 1, List.of("y"), "id"), "rowsInBlock is 0, expected at least 1");
        assertRefused(() -> new Blocks(table, 1, 0, List.of("y"), "id"), "blocksInBatch is 0, expected at least 1");
        assertRefused(
                () -> new Blocks(table, 1, 1, List.of("y"), "id").withIds("x"),
                "column x is string, expected a number");
    }

    private static void assertRefused(org.assertj.core.api.ThrowableAssert.ThrowingCallable call, String message) {
        assertThatIllegalArgumentException().isThrownBy(call).withMessage("Blocks.new: " + message);
    }

    @Test
    void differentiate_rowsThatCannotBeRight_refusedAndNetworkAsBefore() {
        assertFails(
                "Blocks.epoch: column x is null in a row, expected a number",
                table(DataTypes.DoubleType, 1.0, null, 2.0));
        assertFails(
                "layer 0 (BatchNorm): x[0,0] is NaN, expected a finite number",
                table(DataTypes.DoubleType, Double.NaN));
        assertFails("layer 0 (BatchNorm): column 0 of", table(DataTypes.DoubleType, 1e-200, 2e-200, 3e-200));
        assertFails("expected at least 2", table(DataTypes.DoubleType, 1.0));
        assertFails("expected at least 2", table(DataTypes.DoubleType));
    }

    private static void assertFails(String message, Dataset<Row> table) {
        Network network = new Network(new BatchNorm(1));
        Map<String, Matrix> before = network.state();
        assertThatThrownBy(() -> differentiate(new Blocks(table, 2, 2, List.of("y"), "x"), network))
                .isInstanceOfAny(SparkException.class, IllegalArgumentException.class)
                .hasMessageContaining(message);
        assertThat(network.state()).isEqualTo(before);
        assertThatThrownBy(() -> network.parameters().get(0).gradient()).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void differentiate_noSuchBatch_refused() {
        try (Epoch epoch = new Blocks(table(DataTypes.DoubleType, 1.0, 2.0), 2, 1, List.of("y"), "x").epoch(1, 1)) {
            assertThatThrownBy(() -> epoch.differentiate(1, new Network(new BatchNorm(1)), LOSS))
                    .isInstanceOf(IndexOutOfBoundsException.class)
                    .hasMessage("Epoch.differentiate: batch is 1, expected at least 0 and less than 1");
        }
    }
}
