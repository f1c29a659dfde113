package io.github.backnorm;

import io.github.backnorm.internal.BlockSums;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * One block's part of a training step over a batch that lies in blocks, on one machine or on many. Batch norm is that
 * of the whole batch.
 *
 * <p>A shard works until it needs a sum over all blocks, and returns its own part of it as a message. The messages of
 * all blocks are merged, in any order and grouping, and given to all shards:
 * <pre>{@code
 * Shard driver = Shard.follower(network, blocks);            // no rows; sets the gradients at the end
 * byte[] batch = null;                                       // what was merged last
 * for (byte[] merged = driver.next(null); merged != null; merged = driver.next(batch)) {
 *     for (Shard shard : shards) {                           // on any machines
 *         merged = Shard.merge(merged, shard.next(batch));
 *     }
 *     batch = merged;
 * }
 * optimizer.step(network.parameters());
 * }</pre>
 * A network with L batch norms makes 2L + 1 exchanges, one more for each batch norm whose columns have a mean far
 * larger than their spread, and two without a batch norm.
 *
 * <p>Numerical behavior: the bits of a step depend on the rows, the blocks and the parameters alone: not on machines,
 * the order of merging, threads or kernels. A batch in one block has those of {@link Network#forward} and {@link
 * Network#backward}. Sums run over the rows of a block, then along a fixed tree over the block numbers. Batch norm
 * keeps the bound that {@link BatchNorm} names. A column so large or small that squares may overflow or underflow is
 * refused.
 *
 * <p>Blocks may have different numbers of rows, one row or none. Together they have at least two, if there is a batch
 * norm.
 *
 * <p>A layer of a user's type takes part with its parameters' gradients, which are added over the blocks. It is not
 * copied: so each shard needs a network of its own then. What such a layer takes from its batch stays that of the
 * block.
 *
 * <p>Memory: a shard keeps its block's pass through the network. If that of all blocks is too much, make a shard anew
 * for each exchange, and let it repeat what was merged before.
 *
 * <p>Threads: a shard is for one thread at a time; shards of one network may run side by side.
 */
public final class Shard {
    private static final String NEXT = "Shard.next";

    private final Network network;
    private final int block; // NO_BLOCK for a follower
    private final int blocks;
    private final Matrix x;
    private final Function<Matrix, Loss> lossOf;

    /** The network's layers, without nesting. */
    private final List<Layer> originals = new ArrayList<>();

    /** Copies of those that are built in, with passes of their own. */
    private final List<Layer> layers = new ArrayList<>();

    /** Their places, for refusals. */
    private final List<String> places = new ArrayList<>();

    private final List<Step> steps;
    private final int[] columns; // of the input of each step
    private final int hash; // of the network
    private final int pairs; // of gradients and the loss
    private final int singles;

    /** The place of a layer that is not copied; null if there is none. */
    private String shared;

    private final Object claim = new Object();

    private Matrix value; // what passes between two steps
    private double rows; // of the batch; 0 until it is known
    private BlockSums gradients;
    private double loss;

    /** How to go on once there are the sums of the batch; these are null in the first call. */
    private Function<BlockSums, BlockSums> resume = nothing -> forward(0);

    private ShardMessage.Exchange given; // of what the last call was given; null in the first one
    private ShardMessage.Exchange exchange; // of the message that it returned; null before the first call
    private BlockSums sums; // what that message says; null at the end

    /**
     * Makes the shard of a block. The network does not change; later changes of it do not affect the shard.
     *
     * @param network the network, with the same state for all blocks
     * @param block the number of the block, 0 to blocks − 1
     * @param blocks B, the number of blocks, the same for all
     * @param x the rows of the block, N×D, N at least 0
     * @param loss computes the loss of these rows from the network's output. Its gradient is then divided by the rows
     *     of the whole batch. Not called if there is no row.
     * @throws IllegalArgumentException if blocks is less than 1, or x does not have the columns that the network takes
     * @throws IndexOutOfBoundsException if there is no such block
     */
    public Shard(Network network, int block, int blocks, Matrix x, Function<Matrix, Loss> loss) {
        this(network, block, blocks, x, loss, "Shard.new");
        Checks.requireIndex(block, blocks, "Shard.new", "block");
        run(
                "Shard.new: block " + block,
                "Network.forward: ",
                "",
                () -> network.outputColumns(x.rows(), x.columns(), BuiltInLayer.Method.BLOCK));
        network.claim = claim;
    }

    private Shard(Network network, int block, int blocks, Matrix x, Function<Matrix, Loss> loss, String where) {
        if (blocks < 1) {
            throw Checks.refusal(where, "blocks", blocks, "at least 1");
        }
        this.network = Checks.requireNonNull(network, where, "network");
        this.block = block;
        this.blocks = blocks;
        this.x = Checks.requireNonNull(x, where, "x");
        this.lossOf = Checks.requireNonNull(loss, where, "loss");
        copyLayers(network, "");
        this.value = x;
        this.steps = Step.of(layers);
        this.columns = new int[steps.size()];
        this.hash = hash();
        this.pairs = 1 + size(true, where);
        this.singles = 1 + size(false, where);
    }

    /**
     * A hash of the layers' types, states and settings: of networks that differ in them, messages are not merged.
     * Nesting does not count, for a network that travels as a file of PyTorch comes back without it.
     */
    private int hash() {
        List<Object> parts = new ArrayList<>();
        for (Layer layer : layers) {
            parts.add(Checks.typeName(layer));
            parts.add(layer.state());
            if (layer instanceof Affine affine) {
                parts.add(affine.precision().name());
            }
            if (layer instanceof BatchNorm norm) {
                parts.add(norm.epsilon());
                parts.add(norm.momentum());
            }
        }
        return parts.hashCode();
    }

    /** The number of entries of the biases, or of the other parameters whose gradients travel. */
    private int size(boolean biases, String where) {
        long size = 0;
        for (Layer layer : layers) {
            for (Parameter parameter : exchanged(layer)) {
                size += isBias(parameter, layer) == biases ? parameter.value().data().length : 0;
            }
        }
        if (size > ShardMessage.MOST_SUMS) {
            throw Checks.refusal(where, "number of parameters", size, "at most " + ShardMessage.MOST_SUMS);
        }
        return (int) size;
    }

    private void copyLayers(Network nesting, String place) {
        for (int i = 0; i < nesting.layers().size(); i++) {
            Layer layer = nesting.layers().get(i);
            String inner = place + Checks.place(i, layer);
            if (layer instanceof Network nested) {
                copyLayers(nested, inner + ": ");
            } else {
                originals.add(layer);
                places.add(inner);
                if (layer instanceof BuiltInLayer<?> builtIn) {
                    layers.add(builtIn.copy());
                } else {
                    layers.add(layer);
                    shared = inner;
                }
            }
        }
    }

    /**
     * {@return a shard without a block, which follows the exchanges} Once it is given the last merged message, it sets
     * the gradients and running statistics of the network, all together, as {@link Network#forward} and {@link
     * Network#backward} of the whole batch would. Until then the network is as it was: a step that fails leaves no
     * trace. The messages that it returns are without a block too, so they may be merged or not.
     *
     * @param network the network to be trained
     * @param blocks B, the number of blocks
     * @throws IllegalArgumentException if blocks is less than 1
     */
    public static Shard follower(Network network, int blocks) {
        return new Shard(network, ShardMessage.NO_BLOCK, blocks, Matrix.zeros(0, 0), y -> null, "Shard.follower");
    }

    /**
     * Works until it needs a sum over the whole batch. A call that is repeated returns the same bytes again.
     *
     * @param merged what the shards of all blocks returned last, merged; null in the first call
     * @return this block's message, or null at the end
     * @throws IllegalArgumentException if merged is of another exchange, network or number of blocks, or lacks a block;
     *     if a batch norm takes a NaN or infinite entry of the block, or a column of the batch that is too large or too
     *     small; if the batch has fewer than two rows; if a layer or the loss refuses the block
     * @throws IllegalStateException if an earlier call has failed in its work, or another shard was made of a network
     *     that has a layer of a user's type
     */
    public byte[] next(byte[] merged) {
        ShardMessage message = merged == null ? null : ShardMessage.read(merged, NEXT, "merged");
        ShardMessage.Exchange of = message == null ? null : message.exchange();
        if (exchange == null || !Objects.equals(of, given)) {
            if ((exchange == null) != (message == null)) {
                throw Checks.refusal(
                        NEXT,
                        "merged",
                        message == null ? "null" : "a message",
                        exchange == null ? "null in the first call" : "the messages of exchange " + exchange.number());
            }
            BlockSums batch = message == null ? null : message.ofBatch(exchange, NEXT);
            if (block != ShardMessage.NO_BLOCK && shared != null && network.claim != claim) {
                throw new IllegalStateException(NEXT + ": " + shared + " is of a user's type and keeps one pass, and"
                        + " another shard was made of the network; give each shard a network of its own");
            }
            Function<BlockSums, BlockSums> work = resume;
            resume = failed -> {
                throw new IllegalStateException(NEXT + ": an earlier call has failed; make the shard anew");
            };
            sums = work.apply(batch);
            given = of;
            if (sums != null) {
                exchange = new ShardMessage.Exchange(hash, of == null ? 0 : of.number() + 1, blocks, sums);
            }
        }
        return sums == null ? null : ShardMessage.of(exchange, block, sums);
    }

    private BlockSums await(BlockSums sums, Function<BlockSums, BlockSums> then) {
        resume = then;
        return sums;
    }

    // Forward and backward, from a step on: each returns the next sums that the whole batch is asked for.

    private BlockSums forward(int first) {
        for (int i = first; i < steps.size(); i++) {
            if (norm(i) != null) {
                return sumDeviations(i);
            }
            runForward(i);
        }
        return rows > 0 ? differentiateLoss() : sumRows();
    }

    private BlockSums sumDeviations(int i) {
        value = x.rows() == 0 ? Matrix.zeros(0, norm(i).features()) : value;
        return await(run(i, "forward", () -> norm(i).sumDeviations(value)), batch -> normalize(i, batch));
    }

    private BlockSums normalize(int i, BlockSums batch) {
        rows = batch.singles()[0];
        BlockSums aboutMeans = run(i, "forward", () -> norm(i).takeDeviations(batch, value));
        if (aboutMeans != null) {
            return await(aboutMeans, again -> normalize(i, again));
        }
        runForward(i);
        return forward(i + 1);
    }

    /** The number of rows, for the loss: without a batch norm nothing has been exchanged yet. */
    private BlockSums sumRows() {
        BlockSums sums = new BlockSums(0, 1);
        sums.put(x.rows());
        return await(sums, batch -> {
            rows = batch.singles()[0];
            if (rows == 0) {
                throw Checks.refusal(where(), "number of rows in all blocks", 0, "at least 1");
            }
            return differentiateLoss();
        });
    }

    private BlockSums differentiateLoss() {
        gradients = new BlockSums(pairs, singles);
        if (x.rows() > 0) {
            Loss ofBlock = run(where(), "", "", () -> Checks.requireNonNull(lossOf.apply(value), where(), "loss"));
            Checks.requireShape(ofBlock.gradient(), x.rows(), value.columns(), where(), "gradient of the loss");
            Loss partOfBatch = ofBlock.ofBatch(rows);
            gradients.put(partOfBatch.sum());
            gradients.put(ofBlock.count());
            value = partOfBatch.gradient();
        }
        return backward(steps.size() - 1);
    }

    private BlockSums backward(int last) {
        for (int i = last; i >= 0; i--) {
            if (norm(i) != null) {
                return sumGradients(i);
            }
            runBackward(i);
        }
        return await(gradients, this::end);
    }

    private BlockSums sumGradients(int i) {
        Matrix dy = x.rows() == 0 ? Matrix.zeros(0, norm(i).features()) : value;
        value = steps.get(i).dyOfFirst(dy);
        return await(run(i, "backward", () -> norm(i).sumGradients(value)), batch -> differentiate(i, batch));
    }

    private BlockSums differentiate(int i, BlockSums batch) {
        run(i, "backward", () -> norm(i).takeGradients(batch));
        runBackward(i);
        return backward(i - 1);
    }

    private BlockSums end(BlockSums batch) {
        loss = batch.takePair().dividedBy(batch.take(1)[0]).value();
        if (block == ShardMessage.NO_BLOCK) {
            setNetwork(batch);
        }
        return null;
    }

    // A step

    /** The batch norm that a step begins with; null if it does not. */
    private BatchNorm norm(int i) {
        return steps.get(i).layers.get(0) instanceof BatchNorm norm ? norm : null;
    }

    private void runForward(int i) {
        columns[i] = value.columns();
        if (x.rows() > 0 || norm(i) != null) {
            Step step = steps.get(i);
            value = run(i, "forward", () -> step.forward(value));
            if (!step.isOfArrays) {
                Checks.requireNonNull(value, place(i), "y");
                Checks.requireShape(value, x.rows(), value.columns(), place(i), "y");
            }
        }
    }

    /** Runs the first layer of a step backward, of which value is the dy. */
    private void runBackward(int i) {
        if (x.rows() == 0 && norm(i) == null) {
            return;
        }
        Step step = steps.get(i);
        Matrix dy = value;
        if (i > 0) {
            value = run(i, "backward", () -> step.backwardFirst(dy));
            if (!step.isOfArrays) {
                Checks.requireShape(value, x.rows(), columns[i], place(i), "dx");
            }
        } else {
            run(i, "backward", () -> {
                step.backwardParametersOfFirst(dy);
                return null;
            });
        }
        Layer layer = step.layers.get(0);
        for (Parameter parameter : exchanged(layer)) {
            if (isBias(parameter, layer)) {
                gradients.putColumnSums(dy.rows(), dy.columns(), dy.data());
            } else {
                gradients.put(parameter.ownGradient().data());
            }
        }
    }

    /** The parameters whose gradients travel. Those of a batch norm follow from the sums that all shards have taken. */
    private static List<Parameter> exchanged(Layer layer) {
        return layer instanceof BatchNorm ? List.of() : layer.parameters();
    }

    /** Whether a gradient travels in two words: db is a sum of columns, rounded once. */
    private static boolean isBias(Parameter parameter, Layer layer) {
        return layer instanceof Affine affine && affine.hasBias() && parameter == affine.bias();
    }

    /** Sets gradients and running statistics, once all are made. */
    private void setNetwork(BlockSums batch) {
        List<Runnable> changes = new ArrayList<>();
        for (int i = steps.size() - 1; i >= 0; i--) { // as the gradients were put
            Layer layer = originals.get(steps.get(i).index);
            for (Parameter parameter : exchanged(layer)) {
                Matrix value = parameter.value();
                int size = value.data().length;
                double[] sums = isBias(parameter, layer) ? batch.takeRounded(size) : batch.take(size);
                Matrix gradient = Matrix.wrap(value.rows(), value.columns(), sums);
                changes.add(() -> parameter.setGradient(gradient));
            }
            if (layer instanceof BatchNorm norm) {
                BatchNorm copy = norm(i);
                changes.add(() -> norm.takeFrom(copy));
            }
        }
        changes.forEach(Runnable::run);
    }

    /** Runs a method of the first layer of a step; a refusal gets the block and the place of the layer in front. */
    private <T> T run(int i, String method, Supplier<T> work) {
        int index = steps.get(i).index;
        String where = Checks.typeName(layers.get(index)) + "." + method + ": ";
        return run(place(i), where, Checks.hint(layers, index, method), work);
    }

    /** A refusal gets a place in front, instead of {@code where}, and a hint behind it. */
    private static <T> T run(String place, String where, String hint, Supplier<T> work) {
        try {
            return work.get();
        } catch (IllegalArgumentException refusal) {
            throw Checks.placed(place, where, hint, refusal);
        }
    }

    private String place(int i) {
        return where() + ": " + places.get(steps.get(i).index);
    }

    private String where() {
        return block == ShardMessage.NO_BLOCK ? NEXT : NEXT + ": block " + block;
    }

    /**
     * {@return the messages of some blocks in one} Messages may be merged in any order and grouping, with the same
     * bytes in the end. Merging is shortest, and messages stay small, where neighboring blocks come together first.
     *
     * @param one a message of an exchange, or several merged
     * @param other another one of the same exchange
     * @throws IllegalArgumentException if they are of different exchanges, networks or numbers of blocks, if a block is
     *     in both, or if one is no message of this version
     */
    public static byte[] merge(byte[] one, byte[] other) {
        return ShardMessage.merge(one, other, "Shard.merge");
    }

    /**
     * {@return the loss of the whole batch}
     *
     * @throws IllegalStateException before the end
     */
    public double loss() {
        if (exchange == null || sums != null) {
            throw new IllegalStateException("Shard.loss: the step has not ended; call next until it returns null");
        }
        return loss;
    }
}
