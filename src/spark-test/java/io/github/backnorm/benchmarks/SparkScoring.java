package io.github.backnorm.benchmarks;

import static org.apache.spark.sql.functions.array;
import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.rand;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Network;
import io.github.backnorm.ReLU;
import io.github.backnorm.spark.BlockLoss;
import io.github.backnorm.spark.Blocks;
import io.github.backnorm.spark.Epoch;
import io.github.backnorm.spark.Scorer;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.ml.classification.MultilayerPerceptronClassificationModel;
import org.apache.spark.ml.classification.MultilayerPerceptronClassifier;
import org.apache.spark.ml.feature.VectorAssembler;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/**
 * Rows a second that one thread of Spark scores by 64-100-100-10, or computes gradients of, reading them from memory
 * and conversion included: ours, with batch norms folded, and Spark's own perceptron, with logistic functions for ReLU
 * and without batch norm.
 * <pre>{@code
 * mvn -q -Pspark test-compile exec:exec -Dprogram=benchmarks.SparkScoring
 * }</pre>
 * and the same with {@code JDK_JAVA_OPTIONS=--add-modules=jdk.incubator.vector} in front, for the SIMD kernels.
 *
 * <p>Arguments: the number of rows (400000) and of repetitions (10), of which the second half is measured.
 */
public final class SparkScoring {
    private static final int FEATURES = 64;
    private static final int HIDDEN = 100;
    private static final int CLASSES = 10;

    private SparkScoring() {}

    public static void main(String[] args) throws IOException {
        int rows = args.length > 0 ? Integer.parseInt(args[0]) : 400_000;
        int repetitions = args.length > 1 ? Integer.parseInt(args[1]) : 10;
        try (SparkSession session = SparkSession.builder()
                .master("local[1]")
                .config("spark.ui.enabled", false)
                .config("spark.driver.host", "127.0.0.1")
                .config("spark.driver.bindAddress", "127.0.0.1")
                .config("spark.sql.codegen.hugeMethodLimit", 8000)
                .getOrCreate()) {
            String[] names = IntStream.range(0, FEATURES).mapToObj(j -> "x" + j).toArray(String[]::new);
            Column[] entries = Stream.of(names).map(name -> col(name)).toArray(Column[]::new);
            Stream<Column> random = IntStream.range(0, FEATURES).mapToObj(j -> rand(j).as(names[j]));
            Dataset<Row> columns = session.range(0, rows, 1, 4)
                    .select(Stream.concat(Stream.of(col("id")), random).toArray(Column[]::new))
                    .cache();
            Dataset<Row> arrays =
                    columns.select(col("id"), array(entries).as("features")).cache();
            Dataset<Row> vectors = new VectorAssembler()
                    .setInputCols(names)
                    .setOutputCol("features")
                    .transform(columns)
                    .select("id", "features")
                    .cache();
            Scorer scorer = new Scorer(network().folded());
            Dataset<Row> ofColumns = scorer.score(columns, "scores", names);

            print("columns: read only", columns, rows, repetitions);
            print("columns: Scorer", ofColumns, rows, repetitions);
            print("columns: Scorer, id and scores", ofColumns.select("id", "scores"), rows, repetitions);
            print("array: read only", arrays, rows, repetitions);
            print("array: Scorer", scorer.score(arrays, "scores", "features"), rows, repetitions);
            print("vector: read only", vectors, rows, repetitions);
            print("vector: Scorer", scorer.score(vectors, "scores", "features"), rows, repetitions);
            print("columns: gradients, batch norm", gradients(columns, names));
            // Last: where MLlib has run before them, ours are about eight times slower with SIMD on JDK 17.
            print("vector: perceptron", perceptron(vectors, 100, 1).transform(vectors), rows, repetitions);
            print(
                    "vector: perceptron's gradients",
                    rows / (seconds(vectors, rows, 11) - seconds(vectors, rows, 1)) * 10);
        }
    }

    /** Rows a second of the fastest step of five epochs, with blocks of 4096 rows. */
    private static double gradients(Dataset<Row> columns, String... names) {
        Dataset<Row> labeled = columns.withColumn("label", col("id").mod(CLASSES));
        Network network = network();
        double fastest = Double.MAX_VALUE;
        long rows = columns.count();
        Blocks blocks = new Blocks(labeled, 4096, 8, List.of("label"), names);
        double ofBatch = 0;
        for (int number = 1; number <= 5; number++) {
            try (Epoch epoch = blocks.epoch(number, 1)) {
                ofBatch = rows / (double) epoch.size();
                for (int batch = 0; batch < epoch.size(); batch++) {
                    long start = System.nanoTime();
                    epoch.differentiate(batch, network, BlockLoss.ofClasses());
                    fastest = Math.min(fastest, (System.nanoTime() - start) / 1e9);
                }
            }
        }
        return ofBatch / fastest;
    }

    /** The time of so many iterations of the perceptron's training, each with one gradient of all rows at least. */
    private static double seconds(Dataset<Row> vectors, int rows, int iterations) {
        long start = System.nanoTime();
        perceptron(vectors, rows, iterations);
        return (System.nanoTime() - start) / 1e9;
    }

    private static Network network() {
        Random random = new Random(1);
        return new Network(
                new Affine(FEATURES, HIDDEN, random).withoutBias(),
                new BatchNorm(HIDDEN),
                new ReLU(),
                new Affine(HIDDEN, HIDDEN, random).withoutBias(),
                new BatchNorm(HIDDEN),
                new ReLU(),
                Affine.outputLayer(HIDDEN, CLASSES, random));
    }

    private static MultilayerPerceptronClassificationModel perceptron(Dataset<Row> vectors, int rows, int iterations) {
        return new MultilayerPerceptronClassifier()
                .setLayers(new int[] {FEATURES, HIDDEN, HIDDEN, CLASSES})
                .setMaxIter(iterations)
                .setTol(0)
                .fit(vectors.where(col("id").lt(rows))
                        .withColumn("label", col("id").mod(CLASSES).cast("double")));
    }

    private static void print(String name, Dataset<Row> table, int rows, int repetitions) {
        long fastest = Long.MAX_VALUE;
        for (int i = 0; i < repetitions; i++) {
            long start = System.nanoTime();
            table.write().format("noop").mode("overwrite").save();
            if (i >= repetitions / 2) {
                fastest = Math.min(fastest, System.nanoTime() - start);
            }
        }
        print(name, 1e9 * rows / fastest);
    }

    private static void print(String name, double rowsPerSecond) {
        System.out.printf(Locale.ROOT, "%-32s %9.0f rows/s%n", name, rowsPerSecond);
    }
}
