package io.github.backnorm.spark;

import static org.apache.spark.sql.functions.lit;

import java.io.Serializable;
import java.util.List;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.storage.StorageLevel;
import scala.collection.Seq;

/**
 * The rows of a table for training, divided anew in each epoch: into batches, and these into blocks.
 *
 * <pre>{@code
 * Blocks blocks = new Blocks(table, 4096, 8, List.of("sold"), "age", "height", "weight");
 * for (int epoch = 1; epoch <= 10; epoch++) {
 *     try (Epoch batches = blocks.epoch(epoch, seed)) {
 *         for (int batch = 0; batch < batches.size(); batch++) {
 *             double loss = batches.differentiate(batch, network, Loss::binaryCrossEntropy);
 *             optimizer.step(network.parameters());
 *         }
 *     }
 * }
 * }</pre>
 *
 * <p>A row's block, and its place in it, follow from the seed, the epoch and the row's id; or from its numbers, where
 * there are no ids. Partitions, executors and the order in which rows are read change nothing. So a run can be repeated
 * to the bit, on another cluster too. Rows that are equal in all numbers fall into the same block: a table with many
 * such rows needs ids. The numbers of rows in the blocks differ somewhat.
 *
 * <p>An epoch's blocks are kept in the executors' memory, and on their disks if that is full.
 *
 * <p>Safe for use by any number of threads.
 */
public final class Blocks {
    private static final String WHERE = "Blocks.new";

    private final Columns columns;
    private final List<String> targets;
    private final String[] features;
    private final Column id; // null if there are none
    private final long rows;
    private final int rowsInBlock;
    private final int blocksInBatch;

    /**
     * Counts the rows of a table, which is a job of Spark.
     *
     * @param table the table, best cached, for each epoch reads it
     * @param rowsInBlock about how many rows a block has, at least 1
     * @param blocksInBatch how many blocks a batch has, at least 1
     * @param targets the names of numeric columns, at least one
     * @param features the names of the columns with the features, as {@link Scorer#score} takes them
     * @throws IllegalArgumentException if a column is missing or has another type, or if a number is out of range. A
     *     task throws it if an entry is null: Spark's exception then has that in its message
     */
    public Blocks(Dataset<Row> table, int rowsInBlock, int blocksInBatch, List<String> targets, String... features) {
        this(
                new Columns(table, WHERE),
                List.copyOf(targets),
                features.clone(),
                null,
                table.count(),
                requirePositive(rowsInBlock, "rowsInBlock"),
                requirePositive(blocksInBatch, "blocksInBatch"));
        requirePositive(targets.size(), "number of targets");
        requirePositive(features.length, "number of features");
        columns.features(features); // refuses now what an epoch would
        columns.numbers(targets.toArray(String[]::new));
    }

    private Blocks(
            Columns columns,
            List<String> targets,
            String[] features,
            Column id,
            long rows,
            int rowsInBlock,
            int blocksInBatch) {
        this.columns = columns;
        this.targets = targets;
        this.features = features;
        this.id = id;
        this.rows = rows;
        this.rowsInBlock = rowsInBlock;
        this.blocksInBatch = blocksInBatch;
    }

    private static int requirePositive(int number, String what) {
        if (number < 1) {
            throw new IllegalArgumentException(WHERE + ": " + what + " is " + number + ", expected at least 1");
        }
        return number;
    }

    /**
     * {@return the same rows, divided by their ids}
     *
     * @param column the name of a numeric column, whose numbers are cast to {@code long}; best all differ
     * @throws IllegalArgumentException if the column is missing or has another type
     */
    public Blocks withIds(String column) {
        Column ids = columns.number(column).cast(DataTypes.LongType);
        return new Blocks(columns, targets, features, ids, rows, rowsInBlock, blocksInBatch);
    }

    /**
     * {@return the rows in batches} They are brought to their blocks when the first batch is needed.
     *
     * @param number the number of the epoch: another one divides the rows otherwise
     * @param seed the seed of the training run
     */
    public Epoch epoch(int number, long seed) {
        JavaSparkContext context = JavaSparkContext.fromSparkContext(
                columns.numbered().sparkSession().sparkContext());
        double ofBatch = (double) rowsInBlock * blocksInBatch;
        int batches = (int) Math.max(1, Math.min(Math.round(rows / ofBatch), Integer.MAX_VALUE / blocksInBatch));
        Division division = new Division(
                Division.mix(Division.mix(seed) + number),
                id != null,
                batches,
                blocksInBatch,
                Math.min(blocksInBatch, context.defaultParallelism()));
        JavaPairRDD<Integer, List<Sample>> parts = samples().mapPartitionsToPair(division::divide);
        JavaRDD<Block> blocks = parts.partitionBy(division.partitioner())
                .mapPartitionsWithIndex(division::blocks, true)
                .persist(StorageLevel.MEMORY_AND_DISK());
        return new Epoch(context, blocks, division);
    }

    private JavaRDD<Sample> samples() {
        Reader reader = new Reader(features, targets.toArray(String[]::new));
        return columns.numbered()
                .select(
                        columns.features(features),
                        columns.numbers(targets.toArray(String[]::new)),
                        id == null ? lit(0L) : id)
                .javaRDD()
                .map(reader::sample);
    }

    /** Makes samples of rows with features, targets and id. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Reader(String[] features, String[] targets) implements Serializable {
        Sample sample(Row row) {
            if (row.isNullAt(2)) {
                throw refusal("id", "a number");
            }
            return new Sample(numbers(row, 0, features), numbers(row, 1, targets), row.getLong(2));
        }

        private static double[] numbers(Row row, int field, String[] names) {
            if (row.isNullAt(field)) {
                throw refusal(names[0], "an array or vector of numbers");
            }
            if (!(row.get(field) instanceof Seq)) {
                return ((Vector) row.get(field)).toArray();
            }
            List<Double> list = row.getList(field);
            double[] numbers = new double[list.size()];
            for (int j = 0; j < numbers.length; j++) {
                if (list.get(j) == null) {
                    throw refusal(names.length == 1 ? names[0] : names[j], "a number");
                }
                numbers[j] = list.get(j);
            }
            return numbers;
        }

        private static IllegalArgumentException refusal(String column, String expected) {
            return new IllegalArgumentException(
                    "Blocks.epoch: column " + column + " is null in a row, expected " + expected);
        }
    }
}
