package io.github.backnorm.benchmarks;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.ReLU;
import io.github.backnorm.spark.BlockLoss;
import io.github.backnorm.spark.Blocks;
import io.github.backnorm.spark.Epoch;
import io.github.backnorm.spark.TestSessions;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.functions;

/** Prints how long a training step takes on executors that are JVMs of their own, and what of it is Spark's. */
public final class SparkSteps {
    private static final int FEATURES = 64;
    private static final int STEPS = 30;

    private SparkSteps() {}

    public static void main(String[] args) throws Exception {
        try (SparkSession session = TestSessions.cluster(2, Map.of())) {
            System.out.printf("empty job, 2 partitions: %s%n", text(emptyJob(session)));
            System.out.println("blocks, rows each: a step, ms (10th percentile, median)");
            for (int[] shape : new int[][] {{2, 128}, {8, 32}, {8, 128}, {8, 1024}, {64, 128}}) {
                System.out.printf("%d, %d: %s%n", shape[0], shape[1], text(steps(session, shape[0], shape[1])));
            }
        }
    }

    private static double[] emptyJob(SparkSession session) {
        JavaRDD<Integer> numbers = JavaSparkContext.fromSparkContext(session.sparkContext())
                .parallelize(List.of(1, 2), 2)
                .cache();
        double[] millis = new double[3 * STEPS];
        for (int i = 0; i < millis.length; i++) {
            long start = System.nanoTime();
            numbers.count();
            millis[i] = (System.nanoTime() - start) / 1e6;
        }
        return Arrays.copyOfRange(millis, STEPS, millis.length);
    }

    /** Steps of 64-100-100-10, with two batch norms: five exchanges. */
    private static double[] steps(SparkSession session, int blocks, int rows) throws Exception {
        long count = (long) blocks * rows * (STEPS + 10);
        String[] names = IntStream.range(0, FEATURES).mapToObj(j -> "x" + j).toArray(String[]::new);
        Dataset<Row> table = session.range(0, count, 1, 4)
                .withColumn("label", functions.col("id").mod(10))
                .select(IntStream.rangeClosed(0, FEATURES)
                        .mapToObj(j -> j == FEATURES
                                ? functions.col("label")
                                : functions.rand(j).as(names[j]))
                        .toArray(org.apache.spark.sql.Column[]::new));
        Random random = new Random(1);
        Network network = new Network(
                new Affine(FEATURES, 100, random).withoutBias(),
                new BatchNorm(100),
                new ReLU(),
                new Affine(100, 100, random).withoutBias(),
                new BatchNorm(100),
                new ReLU(),
                Affine.outputLayer(100, 10, random));
        Optimizer optimizer = Optimizer.sgd(0.01);
        double[] millis = new double[STEPS];
        try (Epoch epoch = new Blocks(table, rows, blocks, List.of("label"), names).epoch(1, 1)) {
            for (int batch = 0; batch < Math.min(epoch.size(), STEPS + 10); batch++) {
                long start = System.nanoTime();
                epoch.differentiate(batch, network, BlockLoss.ofClasses());
                optimizer.step(network.parameters());
                millis[batch % STEPS] = (System.nanoTime() - start) / 1e6; // the first ones are written over
            }
        }
        return millis;
    }

    private static String text(double[] millis) {
        double[] sorted = millis.clone();
        Arrays.sort(sorted);
        return "%.0f, %.0f".formatted(sorted[sorted.length / 10], sorted[sorted.length / 2]);
    }
}
