package io.github.backnorm.spark;

import static org.apache.spark.sql.functions.array;
import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.lit;
import static org.apache.spark.sql.functions.struct;
import static org.apache.spark.sql.functions.when;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Layer;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Parameter;
import io.github.backnorm.Precision;
import io.github.backnorm.ReLU;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Random;
import java.util.function.BiFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.ml.linalg.SQLDataTypes;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.Metadata;
import org.apache.spark.sql.types.MetadataBuilder;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.assertj.core.api.AbstractThrowableAssert;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ScorerTest {
    private static final int INPUTS = 7;
    private static final String[] NAMES = {"a.b", "b", "c", "d", "e", "f", "g"};

    private static SparkSession session;

    @BeforeAll
    static void open() {
        session = TestSessions.local();
    }

    @AfterAll
    static void close() {
        session.stop();
    }

    /** A network whose batch norms have seen a batch. */
    static Network network(long seed) {
        Random random = new Random(seed);
        Network network = new Network(
                new Affine(INPUTS, 20, random).withoutBias(),
                new BatchNorm(20, 1e-3, 0.3),
                new ReLU(),
                new Network(new Affine(20, 11, random).withPrecision(Precision.SINGLE), new BatchNorm(11), new ReLU()),
                Affine.outputLayer(11, 3, random));
        network.forward(gaussian(50, random));
        return network;
    }

    static Matrix gaussian(int rows, Random random) {
        return Matrix.generate(rows, INPUTS, (row, column) -> 10 * random.nextDouble() - 5);
    }

    /** The rows of x as a table with a column id and one of arrays. */
    static Dataset<Row> table(SparkSession session, Matrix x) {
        List<Row> rows = IntStream.range(0, x.rows())
                .mapToObj(i -> RowFactory.create(i, x.row(i).toArray()))
                .toList();
        return session.createDataFrame(rows, type("id", DataTypes.IntegerType, "x", doubles()));
    }

    private static DataType doubles() {
        return DataTypes.createArrayType(DataTypes.DoubleType);
    }

    private static StructType type(Object... namesAndTypes) {
        StructType type = new StructType();
        for (int i = 0; i < namesAndTypes.length; i += 2) {
            type = type.add((String) namesAndTypes[i], (DataType) namesAndTypes[i + 1]);
        }
        return type;
    }

    /** The scores in the order of the ids. */
    static Matrix scores(Dataset<Row> scored) {
        return Matrix.ofRows(scored.select("id", "scores").collectAsList().stream()
                .sorted((one, other) -> Integer.compare(one.getInt(0), other.getInt(0)))
                .map(row -> doubles(row.getList(1)))
                .toArray(double[][]::new));
    }

    private static double[] doubles(List<Double> list) {
        return list.stream().mapToDouble(Double::doubleValue).toArray();
    }

    private static Dataset<Row> columns(Dataset<Row> table) {
        Stream<Column> features =
                IntStream.range(0, INPUTS).mapToObj(j -> col("x").getItem(j).as(NAMES[j]));
        return table.select(Stream.concat(Stream.of(col("id")), features).toArray(Column[]::new));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 64})
    void score_partitions_bitsOfInfer(int partitions) {
        Network network = network(1);
        Matrix x = gaussian(2500, new Random(2));
        Dataset<Row> table = table(session, x).repartition(partitions).cache();
        assertThat(table.javaRDD().getNumPartitions()).isEqualTo(partitions);

        assertThat(scores(new Scorer(network).score(table, "scores", "x"))).isEqualTo(network.infer(x));
        assertThat(scores(new Scorer(network.folded()).score(columns(table), "scores", NAMES)))
                .isEqualTo(network.folded().infer(x))
                .isNotEqualTo(network.infer(x));
    }

    @Test
    void score_columnsOfAllNumericTypes_castAndLeftAsTheyAre() {
        Metadata note = new MetadataBuilder().putString("unit", "kg").build();
        StructType type = type(
                        "text",
                        DataTypes.StringType,
                        "b",
                        DataTypes.ByteType,
                        "s",
                        DataTypes.ShortType,
                        "i",
                        DataTypes.IntegerType,
                        "l",
                        DataTypes.LongType,
                        "text.2",
                        DataTypes.StringType,
                        "f",
                        DataTypes.FloatType,
                        "dec",
                        DataTypes.createDecimalType(30, 3))
                .add(new StructField("d", DataTypes.DoubleType, true, note));
        List<Row> rows = List.of(
                RowFactory.create(
                        "one",
                        (byte) -128,
                        (short) 7,
                        Integer.MIN_VALUE,
                        Long.MAX_VALUE,
                        null,
                        0.1f,
                        decimal("0.125"),
                        -0.0),
                RowFactory.create(
                        null,
                        (byte) 1,
                        (short) -7,
                        Integer.MAX_VALUE,
                        (1L << 53) + 1,
                        "x",
                        Float.NaN,
                        decimal("-1e20"),
                        Double.NaN),
                RowFactory.create("", (byte) 1, (short) 0, 5, -3L, "y", -0f, decimal("7"), Double.NEGATIVE_INFINITY));
        Dataset<Row> table = session.createDataFrame(rows, type);
        Network network = network(3);

        Dataset<Row> scored = new Scorer(network).score(table, "scores", "d", "f", "l", "i", "s", "b", "dec");

        assertThat(scored.schema().fields()).hasSize(10).startsWith(type.fields());
        assertThat(scored.schema().apply("scores").dataType())
                .isEqualTo(DataTypes.createArrayType(DataTypes.DoubleType, false));
        List<Row> result = scored.collectAsList();
        Matrix x = Matrix.ofRows(
                new double[] {-0.0, 0.1f, Long.MAX_VALUE, Integer.MIN_VALUE, 7, -128, 0.125},
                new double[] {Double.NaN, Float.NaN, 1L << 53, Integer.MAX_VALUE, -7, 1, -1e20},
                new double[] {Double.NEGATIVE_INFINITY, -0f, -3, 5, 0, 1, 7});
        for (int i = 0; i < rows.size(); i++) {
            for (int j = 0; j < 9; j++) {
                Object was = rows.get(i).get(j);
                assertThat(result.get(i).get(j))
                        .isEqualTo(was instanceof BigDecimal decimal ? decimal.setScale(3) : was);
            }
            assertThat(Matrix.ofRow(doubles(result.get(i).getList(9)))).isEqualTo(network.infer(x.row(i)));
        }
    }

    private static BigDecimal decimal(String value) {
        return new BigDecimal(value);
    }

    @Test
    void score_sameFeatureTwice_takenTwice() {
        Matrix x = gaussian(3, new Random(4));
        Network network = new Network(Affine.outputLayer(2, 2, new Random(4)));
        Dataset<Row> table = columns(table(session, x));
        assertThat(scores(new Scorer(network).score(table, "scores", "b", "b")))
                .isEqualTo(network.infer(Matrix.generate(3, 2, (i, j) -> x.get(i, 1))));
    }

    @ParameterizedTest
    @ValueSource(strings = {"tinyint", "bigint", "float", "decimal(20,2)"})
    void score_arraysOfOtherTypes_bitsOfInfer(String type) {
        Network network = network(5);
        Matrix x = gaussian(20, new Random(5)).map(Math::rint);
        Dataset<Row> table = table(session, x).withColumn("x", col("x").cast("array<" + type + ">"));
        Dataset<Row> scored = new Scorer(network).score(table, "scores", "x");
        assertThat(scores(scored)).isEqualTo(network.infer(x));
        assertThat(scored.schema().apply("x")).isEqualTo(table.schema().apply("x"));
        assertThat(scored.first().getList(1)).isEqualTo(table.first().getList(1));
    }

    @Test
    void score_vectors_bitsOfInfer() {
        Network network = network(6);
        Matrix x = gaussian(20, new Random(6)).map(entry -> Math.max(entry, 0));
        List<Row> rows = IntStream.range(0, x.rows())
                .mapToObj(i -> RowFactory.create(i, vector(x.row(i), i % 2 == 0)))
                .toList();
        Dataset<Row> table =
                session.createDataFrame(rows, type("id", DataTypes.IntegerType, "x", SQLDataTypes.VectorType()));
        Dataset<Row> scored = new Scorer(network).score(table, "scores", "x");
        assertThat(scores(scored)).isEqualTo(network.infer(x));
        assertThat(scored.select("id", "x").collectAsList()).isEqualTo(rows);
    }

    private static Vector vector(Matrix row, boolean sparse) {
        Vector vector = Vectors.dense(row.toArray());
        return sparse ? vector.toSparse() : vector;
    }

    @Test
    void score_networkWithoutKnownInputs_takesAnyNumber() {
        Matrix x = gaussian(4, new Random(7));
        assertThat(scores(new Scorer(new Network(new ReLU())).score(table(session, x), "scores", "x")))
                .isEqualTo(x.map(entry -> Math.max(entry, 0)));
        assertThat(scores(new Scorer(new Network()).score(columns(table(session, x)), "scores", NAMES)))
                .isEqualTo(x);
    }

    @Test
    void score_emptyTable_columnOnly() {
        Dataset<Row> scored = new Scorer(network(8)).score(table(session, Matrix.zeros(0, INPUTS)), "y", "x");
        assertThat(scored.columns()).containsExactly("id", "x", "y");
        assertThat(scored.collectAsList()).isEmpty();
    }

    /** The function of a partition, as an executor runs it: it reads one batch ahead and no more. */
    @Test
    void call_partition_readBatchByBatch() {
        Scores function = new Scores(new Model(network(9), "test"), List.of("x"), 0, "x");
        Matrix x = gaussian(2500, new Random(9));
        int[] read = {0};
        List<double[]> list = new ArrayList<>();
        Iterator<Row> rows = IntStream.range(0, 2500)
                .mapToObj(i -> RowFactory.create(vector(x.row(i), false)))
                .peek(row -> read[0]++)
                .iterator();

        Iterator<Row> scored = function.call(rows);

        assertThat(read[0]).isZero();
        while (scored.hasNext()) {
            list.add((double[]) scored.next().get(1));
            assertThat(read[0]).isLessThanOrEqualTo((list.size() + 1023) / 1024 * 1024 + 1);
        }
        assertThat(Matrix.ofRows(list.toArray(double[][]::new)))
                .isEqualTo(network(9).infer(x));
    }

    @Test
    void model_sameBytes_oneNetwork() {
        Network first = new Model(network(10), "test").network();
        assertThat(new Model(network(10), "test").network()).isSameAs(first);
        assertThat(new Model(network(11), "test").network()).isNotSameAs(first);
        for (int seed = 12; seed < 20; seed++) {
            new Model(network(seed), "test").network();
        }
        assertThat(new Model(network(10), "test").network()).isNotSameAs(first);
    }

    @Test
    void score_badColumns_refusedAtOnce() {
        Dataset<Row> arrays = table(session, gaussian(1, new Random(20)));
        Dataset<Row> numbers = columns(arrays).withColumn("text", lit("a")).withColumn("flag", lit(true));
        BiFunction<Dataset<Row>, String[], Throwable> refusal =
                (table, features) -> catchThrowable(() -> new Scorer(network(20)).score(table, "scores", features));

        refused(refusal.apply(numbers, names("a.b", "b", "c", "d", "e", "f", "z")))
                .hasMessage("Scorer.score: column z is missing, expected one of"
                        + " id, a.b, b, c, d, e, f, g, text, flag");
        refused(refusal.apply(numbers.withColumnRenamed("id", "g"), NAMES))
                .hasMessageStartingWith("Scorer.score: column g is there twice, expected one of g, a.b, b");
        refused(refusal.apply(numbers, names("a.b", "b", "c", "d", "e", "f", "text")))
                .hasMessage("Scorer.score: column text is string, expected a number;"
                        + " or an array of numbers or an ML vector, as the only column");
        refused(refusal.apply(numbers, names("flag")))
                .hasMessageContaining("column flag is boolean, expected a number");
        refused(refusal.apply(arrays.select(array(lit("a")).as("x")), names("x")))
                .hasMessageContaining("column x is array<string>, expected a number");
        refused(refusal.apply(arrays.select(struct(lit(1)).as("x")), names("x")))
                .hasMessageContaining("column x is struct<");
        refused(refusal.apply(arrays, names("x", "id")))
                .hasMessageContaining("column x is array<double>, expected a number");
        refused(refusal.apply(numbers, names("b", "c")))
                .hasMessage("Scorer.score: number of features is 2, expected 7 (the network's inputs)");
        refused(refusal.apply(numbers, names()))
                .hasMessage("Scorer.score: number of features is 0, expected 7 (the network's inputs)");
        refused(refusal.apply(numbers.withColumn("Scores", lit(1)), NAMES))
                .hasMessage("Scorer.score: column Scores is there already, expected another name for the scores");
    }

    private static AbstractThrowableAssert<?, ?> refused(Throwable failure) {
        return assertThat(failure).isInstanceOf(IllegalArgumentException.class);
    }

    private static String[] names(String... names) {
        return names;
    }

    @Test
    void score_badRows_refusedByTask() {
        Dataset<Row> arrays = table(session, gaussian(2, new Random(21)));
        Dataset<Row> one = columns(arrays).withColumn("c", when(col("id").equalTo(0), col("c")));
        assertThat(taskRefusal(one, NAMES))
                .isEqualTo("Scorer.score: c is null in the row with id = 1, expected a number");
        assertThat(taskRefusal(one.drop("id"), NAMES)).isEqualTo("Scorer.score: c is null, expected a number");

        List<Row> rows = new ArrayList<>();
        StructType type = type("text", DataTypes.StringType, "x", doubles());
        rows.add(RowFactory.create("A".repeat(50), null));
        assertThat(taskRefusal(session.createDataFrame(rows, type), "x"))
                .isEqualTo("Scorer.score: x is null in the row with text = " + "A".repeat(40)
                        + "…, expected an array or a vector of numbers");
        rows.set(0, RowFactory.create("B", Arrays.asList(1.0, null, 3.0, 4.0, 5.0, 6.0, 7.0)));
        assertThat(taskRefusal(session.createDataFrame(rows, type), "x"))
                .isEqualTo("Scorer.score: x[1] is null in the row with text = B, expected a number");
        rows.set(0, RowFactory.create("C", List.of(1.0, 2.0)));
        assertThat(taskRefusal(session.createDataFrame(rows, type), "x"))
                .isEqualTo("Scorer.score: the length of x is 2 in the row with text = C,"
                        + " expected 7 (the network's inputs)");
        rows.set(0, RowFactory.create("D", Vectors.dense(1, 2, 3)));
        assertThat(taskRefusal(
                        session.createDataFrame(
                                rows, type("text", DataTypes.StringType, "x", SQLDataTypes.VectorType())),
                        "x"))
                .isEqualTo("Scorer.score: the length of x is 3 in the row with text = D,"
                        + " expected 7 (the network's inputs)");
    }

    /** What the program's user reads. */
    private static String taskRefusal(Dataset<Row> table, String... features) {
        Dataset<Row> scored = new Scorer(network(21)).score(table, "scores", features);
        return Sessions.reason(catchThrowable(scored::collectAsList));
    }

    @Test
    void new_networkWithLayerOfOnesOwn_refused() {
        Layer own = new Layer() {
            @Override
            public Matrix forward(Matrix x) {
                return x;
            }

            @Override
            public Matrix infer(Matrix x) {
                return x;
            }

            @Override
            public Matrix backward(Matrix dy) {
                return dy;
            }

            @Override
            public List<Parameter> parameters() {
                return List.of();
            }
        };
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new Scorer(new Network(new ReLU(), own)))
                .withMessageStartingWith(
                        "Scorer.new: the network cannot travel to executors: PyTorch.stateDict: layer 1 (")
                .withMessageEndingWith("is of another type, expected Affine, BatchNorm or ReLU");
    }
}
