package io.github.backnorm.spark;

import static org.apache.spark.sql.functions.array;
import static org.apache.spark.sql.functions.col;

import io.github.backnorm.Network;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.NumericType;
import org.apache.spark.sql.types.StructField;

/**
 * Adds a network's scores to the rows of a Spark table.
 *
 * <pre>{@code
 * Network network = PyTorch.network(Safetensors.read(Path.of("model.safetensors")));
 * Dataset<Row> scored = new Scorer(network.folded()).score(rows, "scores", "age", "height", "weight");
 * }</pre>
 *
 * <p>The features of a row are numeric columns, in the order of the network's inputs; or they are one column of numeric
 * arrays, or of vectors of Spark's ML library. A number becomes a double as Spark casts it: a {@code long} beyond 2⁵³
 * and a {@code decimal} are rounded. Nulls are refused when they are met, as are arrays and vectors of another length
 * than the network has inputs.
 *
 * <p>Nothing runs before the result is used, as always in Spark. It is computed partition by partition, 1024 rows at a
 * time, and no more are kept. The network travels in the function's closure, as the bytes of a safetensors file, and is
 * made of them once in each executor. Only {@code Dataset} is used, neither {@code SparkContext} nor RDDs.
 *
 * <p>Numerical behavior: a row's scores have the bits of {@link Network#infer}, whatever the partitions, executors and
 * JDKs. A row with NaN scores as it does there.
 *
 * <p>Safe for use by any number of threads.
 */
public final class Scorer {
    private static final DataType DOUBLES = DataTypes.createArrayType(DataTypes.DoubleType, false);

    /** What a cast to double and back leaves as it is. */
    private static final Set<DataType> WITHIN_DOUBLE = Set.of(
            DataTypes.DoubleType, DataTypes.FloatType, DataTypes.IntegerType, DataTypes.ShortType, DataTypes.ByteType);

    private final Model model;

    /**
     * Makes a scorer of a network as it is now. Its scores are those of {@link Network#infer} to the bit; {@link
     * Network#folded} makes a network that computes them faster, with bits of its own.
     *
     * @param network a network of {@code Affine}, {@code BatchNorm} and {@code ReLU} layers
     * @throws IllegalArgumentException if it has a layer of another type, which cannot travel to executors as bytes
     */
    public Scorer(Network network) {
        model = new Model(network, "Scorer.new");
    }

    /**
     * {@return the rows with a further column, the last one, of type {@code array<double>}}
     *
     * <p>Columns that are not features pass through Java objects, which takes time: select those that are needed. A
     * session with many columns of features is faster with {@code spark.sql.codegen.hugeMethodLimit} set to 8000, for
     * HotSpot does not compile larger methods, such as Spark makes for more than 50 columns or so.
     *
     * @param rows the table
     * @param scores the name of the new column
     * @param features the names of the columns with the features: one numeric column for each input of the network, or
     *     one column of numeric arrays or ML vectors; upper and lower case differ
     * @throws IllegalArgumentException if a feature is missing, occurs twice in the table or has another type; if there
     *     are not as many as the network has inputs; or if the table has a column with the new one's name, in upper or
     *     lower case. A task throws it if a feature is null or an array or vector has another length: Spark's exception
     *     then has it as a cause
     */
    public Dataset<Row> score(Dataset<Row> rows, String scores, String... features) {
        Objects.requireNonNull(rows, "Scorer.score: rows is null, expected a value");
        Objects.requireNonNull(scores, "Scorer.score: scores is null, expected a name");
        Objects.requireNonNull(features, "Scorer.score: features is null, expected names of columns");
        Columns columns = new Columns(rows, "Scorer.score");
        StructField[] fields = columns.fields();
        for (StructField field : fields) {
            if (field.name().equalsIgnoreCase(scores)) {
                throw columns.refusal("column " + field.name(), "there already", "another name for the scores");
            }
        }
        int[] at = indices(columns, features);
        boolean inOne = Columns.holdsAll(fields[at[0]].dataType());

        // A row's boxed fields take longer than the network, its arrays do not; so numbers come and go as an array.
        IntPredicate isCarried = i -> inOne || indexOf(i, at) < 0 || !WITHIN_DOUBLE.contains(fields[i].dataType());
        List<Column> carried = new ArrayList<>();
        List<String> names = new ArrayList<>();
        for (int i = 0; i < fields.length; i++) {
            if (isCarried.test(i)) {
                carried.add(Columns.number(i));
                names.add(fields[i].name());
            }
        }
        if (!inOne) {
            Stream<Column> doubles =
                    IntStream.of(at).mapToObj(i -> Columns.number(i).cast(DataTypes.DoubleType));
            carried.add(array(doubles.toArray(Column[]::new)).as("x"));
        }
        Dataset<Row> numbered = columns.numbered().select(toArray(carried));
        Dataset<Row> scored = numbered.mapPartitions(
                new Scores(model, names, inOne ? at[0] : names.size(), features),
                Encoders.row(numbered.schema().add("scores", DOUBLES, false)));

        List<Column> result = new ArrayList<>();
        for (int i = 0; i < fields.length; i++) {
            Column column = isCarried.test(i)
                    ? Columns.number(i)
                    : col("x").getItem(indexOf(i, at)).cast(fields[i].dataType());
            result.add(column.as(fields[i].name(), fields[i].metadata()));
        }
        result.add(col("scores").as(scores));
        return scored.select(toArray(result));
    }

    private static Column[] toArray(List<Column> columns) {
        return columns.toArray(Column[]::new);
    }

    /** The numbers of the features' columns, which are such that the network can take them. */
    private int[] indices(Columns columns, String... features) {
        int[] at = new int[features.length];
        boolean inOne = false;
        for (int j = 0; j < at.length; j++) {
            at[j] = columns.index(features[j]);
            DataType type = columns.fields()[at[j]].dataType();
            inOne = at.length == 1 && Columns.holdsAll(type);
            if (!inOne && !(type instanceof NumericType)) {
                throw columns.refusal(
                        "column " + features[j],
                        type.simpleString(),
                        "a number; or an array of numbers or an ML vector, as the only column");
            }
        }
        if (at.length == 0 || !(inOne || model.takes(at.length))) {
            throw columns.refusal("number of features", at.length, model.expected());
        }
        return at;
    }

    private static int indexOf(int value, int... values) {
        return IntStream.range(0, values.length)
                .filter(i -> values[i] == value)
                .findFirst()
                .orElse(-1);
    }
}
