package io.github.backnorm.spark;

import io.github.backnorm.Network;
import io.github.backnorm.Shard;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.UUID;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.rdd.PartitionPruningRDD;
import scala.Function1;

/**
 * The rows of a table, once each, in batches whose blocks lie on the executors; {@link Blocks#epoch} makes it.
 *
 * <p>A step is some short jobs, one for each sum over the batch: 2L + 1 for a network with L batch norms, one more for
 * a batch norm whose columns have a mean far larger than their spread, and two without a batch norm. Spark may retry
 * them, and run them twice. An executor keeps its blocks' passes from job to job. Where it is lost, another one repeats
 * them.
 *
 * <p>For one thread at a time.
 */
public final class Epoch implements AutoCloseable {
    /** From so many partitions on, executors merge messages before the driver does. */
    private static final int MANY = 16;

    private final JavaSparkContext context;
    private final JavaRDD<Block> blocks;
    private final Division division;
    private final String name = UUID.randomUUID().toString();
    private int steps;

    Epoch(JavaSparkContext context, JavaRDD<Block> blocks, Division division) {
        this.context = context;
        this.blocks = blocks;
        this.division = division;
    }

    /** {@return the number of batches} */
    public int size() {
        return division.batches();
    }

    /**
     * Sets the gradients of a network, and moves its running statistics, as {@link Network#forward} and {@link
     * Network#backward} would for the whole batch. {@link Shard} does that, and says what it refuses; Spark's exception
     * then has the reason in its message. If the call fails, the network is as it was.
     *
     * @param batch the number of the batch, from 0 on
     * @param network a network of {@code Affine}, {@code BatchNorm} and {@code ReLU} layers
     * @param loss the loss of a block
     * @return the loss of the batch
     * @throws IllegalArgumentException if the network has a layer of another type
     * @throws IndexOutOfBoundsException if there is no such batch
     */
    public double differentiate(int batch, Network network, BlockLoss loss) {
        if (batch < 0 || batch >= size()) {
            throw new IndexOutOfBoundsException(
                    "Epoch.differentiate: batch is " + batch + ", expected at least 0 and less than " + size());
        }
        Shard driver = Shard.follower(network, division.blocks());
        Broadcast<Model> model = context.broadcast(new Model(network, "Epoch.differentiate"));
        Step step = new Step(name, steps++, division.blocks(), model, loss);
        try {
            JavaRDD<Block> ofBatch = batch(batch);
            List<byte[]> sums = new ArrayList<>(); // over the batch
            byte[] merged = driver.next(null);
            while (merged != null) {
                merged = Shard.merge(merged, sum(ofBatch, step, new ArrayList<>(sums)));
                sums.add(merged);
                merged = driver.next(merged);
            }
        } finally {
            model.destroy();
        }
        return driver.loss();
    }

    /** The blocks of a batch: its partitions and no others. */
    private JavaRDD<Block> batch(int batch) {
        int partitions = division.partitions();
        Function1<Object, Object> isOfBatch =
                (Function1<Object, Object> & Serializable) partition -> (int) partition / partitions == batch;
        return JavaRDD.fromRDD(PartitionPruningRDD.create(blocks.rdd(), isOfBatch), blocks.classTag());
    }

    private byte[] sum(JavaRDD<Block> ofBatch, Step step, List<byte[]> sums) {
        JavaRDD<byte[]> messages = ofBatch.mapPartitions(some -> messages(some, step, sums));
        return division.partitions() < MANY ? messages.reduce(Shard::merge) : messages.treeReduce(Shard::merge);
    }

    /** The message of a partition's blocks. */
    private static Iterator<byte[]> messages(Iterator<Block> blocks, Step step, List<byte[]> sums) {
        byte[] merged = RunningShards.next(step, blocks.next(), sums);
        while (blocks.hasNext()) {
            merged = Shard.merge(merged, RunningShards.next(step, blocks.next(), sums));
        }
        return List.of(merged).iterator();
    }

    /** The numbers of rows of all blocks, batch by batch. */
    List<Integer> rowsOfBlocks() {
        return blocks.map(block -> block.rows().size()).collect();
    }

    /** Frees the memory of the blocks on the executors. */
    @Override
    public void close() {
        blocks.unpersist();
    }
}
