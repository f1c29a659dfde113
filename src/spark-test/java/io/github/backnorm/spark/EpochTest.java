package io.github.backnorm.spark;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.ReLU;
import io.github.backnorm.Shard;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerJobStart;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Training gives the same bits however Spark runs it. */
final class EpochTest {
    private static final int FEATURES = 6;
    private static final int BLOCKS = 20;
    private static final int ROWS_IN_BLOCK = 5;
    private static final String[] NAMES =
            IntStream.range(0, FEATURES).mapToObj(j -> "x." + j).toArray(String[]::new);
    private static final List<Row> ROWS = rows();

    /** A column has a mean far larger than its spread, so that a pivot moves. Some rows are there twice. */
    private static List<Row> rows() {
        Random random = new Random(1);
        List<Row> rows = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            Object[] row = new Object[FEATURES + 1];
            for (int j = 0; j < FEATURES; j++) {
                row[j] = random.nextDouble() + (j == 0 ? 1e6 : 0);
            }
            row[FEATURES] = i % 3;
            rows.add(RowFactory.create(row));
            if (i % 10 == 0) {
                rows.add(RowFactory.create(row));
            }
        }
        return rows;
    }

    private static Dataset<Row> table(SparkSession spark, long seed, int partitions) {
        StructType schema = new StructType();
        for (String name : NAMES) {
            schema = schema.add(name, DataTypes.DoubleType);
        }
        List<Row> shuffled = new ArrayList<>(ROWS);
        Collections.shuffle(shuffled, new Random(seed));
        return spark.createDataFrame(shuffled, schema.add("label", DataTypes.IntegerType))
                .repartition(partitions);
    }

    private static Network network() {
        Random random = new Random(2);
        return new Network(
                new BatchNorm(FEATURES),
                new Network(new Affine(FEATURES, 7, random).withoutBias(), new BatchNorm(7), new ReLU()),
                Affine.outputLayer(7, 3, random));
    }

    /** The state after two epochs, and the losses. */
    private static List<Object> trained(SparkSession spark, int partitions) {
        Network network = network();
        Optimizer optimizer = Optimizer.adam(0.01);
        Blocks blocks =
                new Blocks(table(spark, partitions, partitions), ROWS_IN_BLOCK, BLOCKS, List.of("label"), NAMES);
        List<Object> result = new ArrayList<>();
        for (int number = 1; number <= 2; number++) {
            try (Epoch epoch = blocks.epoch(number, 3)) {
                for (int batch = 0; batch < epoch.size(); batch++) {
                    result.add(epoch.differentiate(batch, network, BlockLoss.ofClasses()));
                    optimizer.step(network.parameters());
                }
            }
        }
        result.add(network.state());
        return result;
    }

    /** The same without Spark, one block after the other. */
    private static List<Object> expected() {
        Network network = network();
        Optimizer optimizer = Optimizer.adam(0.01);
        List<Sample> samples = ROWS.stream()
                .map(row -> new Sample(
                        IntStream.range(0, FEATURES).mapToDouble(row::getDouble).toArray(),
                        new double[] {row.getInt(FEATURES)},
                        0))
                .toList();
        int batches = (int) Math.round(samples.size() / (double) (ROWS_IN_BLOCK * BLOCKS));
        List<Object> result = new ArrayList<>();
        for (int number = 1; number <= 2; number++) {
            Division division = new Division(Division.mix(Division.mix(3) + number), false, batches, BLOCKS, 1);
            List<scala.Tuple2<Integer, List<Sample>>> parts = new ArrayList<>();
            division.divide(samples.iterator()).forEachRemaining(parts::add);
            for (int batch = 0; batch < batches; batch++) {
                int from = batch;
                List<scala.Tuple2<Integer, List<Sample>>> ofBatch = parts.stream()
                        .filter(part -> part._1() / BLOCKS == from)
                        .toList();
                List<Shard> shards = new ArrayList<>();
                division.blocks(batch, ofBatch.iterator()).forEachRemaining(block -> {
                    Matrix targets = block.targets();
                    Matrix x = block.rows().isEmpty() ? Matrix.zeros(0, FEATURES) : block.x();
                    shards.add(new Shard(
                            network,
                            block.number(),
                            BLOCKS,
                            x,
                            y -> BlockLoss.ofClasses().of(y, targets)));
                });
                Shard driver = Shard.follower(network, BLOCKS);
                byte[] sum = null;
                for (byte[] merged = driver.next(null); merged != null; merged = driver.next(sum)) {
                    for (Shard shard : shards) {
                        merged = Shard.merge(merged, shard.next(sum));
                    }
                    sum = merged;
                }
                result.add(driver.loss());
                optimizer.step(network.parameters());
            }
        }
        result.add(network.state());
        return result;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 64})
    void differentiate_executorsAreThreads_bitsOfOneThread(int partitions) throws IOException {
        try (SparkSession spark = TestSessions.local(partitions)) {
            assertThat(trained(spark, partitions)).isEqualTo(expected());
        }
    }

    /** One executor has the SIMD module, the others do not. */
    @Test
    void differentiate_executorsOfBothKernels_bitsOfOneThread(@TempDir Path folder) throws IOException {
        for (int executor = 0; executor < 9; executor++) {
            Files.writeString(
                    folder.resolve("executor" + executor),
                    "-Dbacknorm.kernels=" + (executor == 0 ? "vector" : "scalar"));
        }
        Map<String, String> options = Map.of(
                "spark.executor.extraJavaOptions",
                "--add-modules=jdk.incubator.vector -XX:VMOptionsFile=" + folder + "/executor{{EXECUTOR_ID}}",
                "spark.speculation",
                "true");
        try (SparkSession spark = TestSessions.cluster(2, options)) {
            assertThat(trained(spark, 4)).isEqualTo(expected());
        }
    }

    /**
     * The exchanges of a step are one for each of the two batch norms, and one more for a pivot that moves; one for
     * each of them backward; and that of the gradients.
     */
    @ParameterizedTest
    @MethodSource("exchanges")
    void differentiate_executorHaltedInAnExchange_bitsOfOneThread(int exchange) throws IOException {
        try (SparkSession spark = TestSessions.cluster(2, Map.of())) {
            AtomicInteger jobs = new AtomicInteger();
            AtomicInteger halted = new AtomicInteger();
            spark.sparkContext().addSparkListener(new SparkListener() {
                @Override
                public void onJobStart(SparkListenerJobStart job) {
                    if (jobs.incrementAndGet() == 12 + exchange) {
                        TestSessions.haltAnExecutor();
                        halted.incrementAndGet();
                    }
                }
            });
            assertThat(trained(spark, 4)).isEqualTo(expected());
            assertThat(halted).hasValue(1);
        }
    }

    private static IntStream exchanges() {
        return IntStream.range(0, Boolean.getBoolean("backnorm.test.long") ? 6 : 1);
    }
}
