package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a step in blocks computes. {@link ShardRefusalTest} has what it refuses. */
@Tag("bits")
final class ShardTest {
    private static final int INPUTS = 5;
    private static final int OUTPUTS = 3;
    private static final int STEPS = 3;

    /** Networks in which each kind of layer is at each end, and beside each other kind. */
    @SuppressWarnings("ImmutableEnumChecker") // nothing changes the list, and the functions have no state
    private enum Shape {
        NO_LAYER,
        AFFINE(random -> new Affine(INPUTS, OUTPUTS, random)),
        RELU_ALONE(random -> new ReLU()),
        BATCH_NORM_ALONE(random -> new BatchNorm(INPUTS)),
        BATCH_NORM_FIRST(random -> new BatchNorm(INPUTS, 1e-3, 0.3), random -> new Affine(INPUTS, OUTPUTS, random)),
        BATCH_NORM_LAST(random -> new Affine(INPUTS, OUTPUTS, random), random -> new BatchNorm(OUTPUTS)),
        WITH_RELU_LAST(
                random -> new Affine(INPUTS, OUTPUTS, random), random -> new BatchNorm(OUTPUTS), random -> new ReLU()),
        BATCH_NORMS_IN_A_ROW(
                random -> new Affine(INPUTS, OUTPUTS, random).withoutBias(),
                random -> new BatchNorm(OUTPUTS, 1e-5, 1),
                random -> new BatchNorm(OUTPUTS),
                random -> new ReLU(),
                random -> new BatchNorm(OUTPUTS)),
        NO_COLUMNS(
                random -> new Affine(INPUTS, 0, random),
                random -> new BatchNorm(0),
                random -> new Affine(0, 3, random)),
        MORE_COLUMNS_THAN_IN_A_PANEL(
                random -> new Affine(INPUTS, 600, random),
                random -> new BatchNorm(600),
                random -> Affine.outputLayer(600, OUTPUTS, random)),
        NESTED(
                random -> new Network(),
                random -> new Network(
                        new Affine(INPUTS, 4, random),
                        new Network(new ReLU(), new Affine(4, 6, random)),
                        new BatchNorm(6)),
                random -> new ReLU(),
                random -> new Network(new Affine(6, OUTPUTS, random))),
        OWN_LAYERS(
                random -> new Scale(uniform(INPUTS, random)),
                random -> new Affine(INPUTS, 4, random),
                random -> new Scale(uniform(4, random)),
                random -> new BatchNorm(4),
                random -> new DelegatingLayer(new ReLU()),
                random -> new Network(new DelegatingLayer(new Affine(4, OUTPUTS, random))),
                random -> new BatchNorm(OUTPUTS),
                random -> new ReLU(),
                random -> new Scale(uniform(OUTPUTS, random)));

        private final List<Function<Random, Layer>> layers;

        @SafeVarargs
        @SuppressWarnings("varargs")
        Shape(Function<Random, Layer>... layers) {
            this.layers = List.of(layers);
        }

        /** Chooses one of the losses, too. */
        @SuppressWarnings("EnumOrdinal") // any number will do
        long seed() {
            return ordinal();
        }

        Network network() {
            Random random = new Random(seed());
            return new Network(layers.stream().map(layer -> layer.apply(random)).toArray(Layer[]::new));
        }
    }

    private static Matrix uniform(int columns, Random random) {
        return Matrix.generate(1, columns, (i, j) -> 0.5 + random.nextDouble());
    }

    private static Network randomNetwork(long seed) {
        Random random = new Random(seed);
        List<Layer> layers = new ArrayList<>();
        int columns = INPUTS;
        for (int i = random.nextInt(5); i > 0; i--) {
            int next = 1 + random.nextInt(20);
            Affine affine = new Affine(columns, next, random)
                    .withPrecision(random.nextBoolean() ? Precision.SINGLE : Precision.DOUBLE);
            layers.add(random.nextBoolean() ? affine : affine.withoutBias());
            if (random.nextInt(4) > 0) {
                layers.add(new BatchNorm(next));
            }
            if (random.nextInt(4) == 0) {
                layers.add(new Scale(uniform(next, random)));
            }
            if (random.nextBoolean()) {
                layers.add(new ReLU());
            }
            if (random.nextInt(3) == 0) {
                layers = new ArrayList<>(List.of(new Network(layers.toArray(Layer[]::new))));
            }
            columns = next;
        }
        layers.add(Affine.outputLayer(columns, OUTPUTS, random));
        return new Network(layers.toArray(Layer[]::new));
    }

    /** Columns of different means, so that some pivots move; one of them is constant. */
    private static Matrix batch(int rows, Random random) {
        double[] means = {0, 1000, 1e8, 0, 7};
        return Matrix.generate(rows, INPUTS, (i, j) -> means[j] + (j == 4 ? 0 : random.nextDouble()));
    }

    /** One of three losses, of targets that belong to the rows. */
    private static Function<Matrix, Function<Matrix, Loss>> loss(long seed) {
        return x -> y -> {
            Matrix targets = Matrix.generate(y.rows(), y.columns(), (i, j) -> (x.get(i, 0) * (j + 1)) % 1);
            return switch ((int) (seed % 3)) {
                case 0 -> Loss.meanSquaredError(y, targets);
                case 1 -> Loss.softmaxCrossEntropy(y, targets);
                default -> Loss.binaryCrossEntropy(y, targets);
            };
        };
    }

    // The bits

    @ParameterizedTest
    @EnumSource(Shape.class)
    void next_oneBlock_bitsOfForwardAndBackward(Shape shape) {
        assertBitsOfForwardAndBackward(() -> shape.network(), 37, shape.seed());
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
    void next_oneBlockRandomNetwork_bitsOfForwardAndBackward(long seed) {
        assertBitsOfForwardAndBackward(() -> randomNetwork(seed), 2 + (int) seed * 7, seed);
    }

    /** With a momentum, so that what went wrong in one step shows in the next ones. */
    private static void assertBitsOfForwardAndBackward(Supplier<Network> networks, int rows, long seed) {
        Random random = new Random(seed);
        Network expected = networks.get();
        Network actual = networks.get();
        Optimizer expectedOptimizer = Optimizer.sgd(0.01, 0.9);
        Optimizer actualOptimizer = Optimizer.sgd(0.01, 0.9);
        for (int step = 0; step < STEPS; step++) {
            Matrix x = batch(rows, random);
            Loss loss = loss(seed).apply(x).apply(expected.forward(x));
            expected.backwardParameters(loss.gradient());

            double ofShard = Blocks.ofSizes(x, rows).step(actual, networks, loss(seed), random);

            assertThat(ofShard).as("step %d, seed %d", step, seed).isEqualTo(loss.value());
            assertSame(actual, expected, "step " + step + ", seed " + seed);
            expectedOptimizer.step(expected.parameters());
            actualOptimizer.step(actual.parameters());
        }
    }

    @ParameterizedTest
    @EnumSource(Shape.class)
    void next_anyOrderOfMerging_sameBits(Shape shape) {
        assertSameBits(() -> shape.network(), shape.seed());
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
    void next_anyOrderOfMergingRandomNetwork_sameBits(long seed) {
        assertSameBits(() -> randomNetwork(seed), seed);
    }

    private static void assertSameBits(Supplier<Network> networks, long seed) {
        Random random = new Random(seed);
        Network first = networks.get();
        Network second = networks.get();
        Optimizer ofFirst = Optimizer.adam(0.01);
        Optimizer ofSecond = Optimizer.adam(0.01);
        for (int step = 0; step < STEPS; step++) {
            Blocks blocks = Blocks.random(batch(2 + random.nextInt(120), random), random);
            String description = blocks + ", step " + step + ", seed " + seed;

            double loss = blocks.step(first, networks, loss(seed), new Random(1));
            double again = blocks.step(second, networks, loss(seed), new Random(2));

            assertThat(again).as(description).isEqualTo(loss);
            assertSame(second, first, description);
            ofFirst.step(first.parameters());
            ofSecond.step(second.parameters());
        }
    }

    /** Columns are computed in panels; the pivots of all are moved in the same exchange. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 598, 599})
    void next_pivotMovesInOnePanel_bitsOfForwardAndBackward(int column) {
        Matrix x = Matrix.generate(7, 600, (i, j) -> (i * i + j) % 5 - 2 + (j == column ? 1e8 + i / 3.0 : i / 3.0));
        Supplier<Network> networks = () -> new Network(new BatchNorm(600));
        Network expected = networks.get();
        expected.backwardParameters(square(x).apply(expected.forward(x)).gradient());
        Network actual = networks.get();

        Blocks.ofSizes(x, 7).step(actual, networks, ShardTest::square, new Random(1));

        assertSame(actual, expected, "column " + column);
    }

    static Stream<int[]> sizes() {
        return Stream.of(
                new int[] {1, 1},
                new int[] {0, 2, 0},
                new int[] {0, 0, 8, 0},
                new int[] {1, 31},
                new int[] {29, 1, 0, 2},
                IntStream.generate(() -> 1).limit(16).toArray());
    }

    /** Of small integers and powers of two every sum is exact, so the blocks do not matter. */
    @ParameterizedTest
    @MethodSource("sizes")
    void next_sumsThatAreExact_bitsOfWholeBatch(int... sizes) {
        Random random = new Random(1);
        int rows = Arrays.stream(sizes).sum();
        Matrix x = Matrix.generate(rows, INPUTS, (i, j) -> random.nextInt(9) - 4);
        Function<Matrix, Function<Matrix, Loss>> loss =
                part -> y -> Loss.meanSquaredError(y, Matrix.filled(y.rows(), y.columns(), 1));
        Network expected = networkOfIntegers();
        Loss whole = loss.apply(x).apply(expected.forward(x));
        expected.backward(whole.gradient());
        Network actual = networkOfIntegers();

        double value = Blocks.ofSizes(x, sizes).step(actual, ShardTest::networkOfIntegers, loss, random);

        assertThat(value).isEqualTo(whole.value());
        assertSame(actual, expected, Arrays.toString(sizes));
    }

    private static Network networkOfIntegers() {
        Random random = new Random(2);
        Matrix w = Matrix.generate(INPUTS, 4, (i, j) -> random.nextInt(9) - 4);
        return new Network(new Affine(w, Matrix.ofRow(1, 0, -1, 2)), new Scale(Matrix.ofRow(1, 2, -1, 3)), new ReLU());
    }

    /** Rounded in each block, or at each node of the tree, db would be 0 and the loss a quarter. */
    @Test
    void next_sumsThatCancel_biasGradientAndLossRoundedOnce() {
        double big = 0x1p55;
        double small = 0x1p-27;

        assertThat(stepOfOneRowBlocks(big, 2, -big, 0).bias().gradient()).isEqualTo(Matrix.ofRow(1));
        Network network = networkOfOne();
        double loss = Blocks.ofSizes(Matrix.of(4, 1, 1, small, small, small), 1, 1, 1, 1)
                .step(network, ShardTest::networkOfOne, ShardTest::square, new Random(1));
        assertThat(loss).isEqualTo(Math.nextUp(1.0) / 4);
    }

    private static Affine stepOfOneRowBlocks(double... x) {
        Network network = networkOfOne();
        Blocks.ofSizes(
                        Matrix.of(x.length, 1, x),
                        IntStream.generate(() -> 1).limit(x.length).toArray())
                .step(network, ShardTest::networkOfOne, ShardTest::square, new Random(1));
        return (Affine) network.layers().get(0);
    }

    private static Network networkOfOne() {
        return new Network(new Affine(Matrix.filled(1, 1, 1), Matrix.filled(1, 1, 0)));
    }

    private static Function<Matrix, Loss> square(Matrix x) {
        return y -> Loss.meanSquaredError(y, Matrix.zeros(y.rows(), y.columns()));
    }

    // Replay

    @ParameterizedTest
    @EnumSource(Shape.class)
    void next_shardMadeAnew_sameMessagesAsTheOld(Shape shape) {
        Random random = new Random(1);
        Blocks blocks = Blocks.random(batch(23, random), random);
        List<Shard> shards = blocks.shards(() -> shape.network(), loss(1));
        byte[] batch = null;
        List<byte[]> given = new ArrayList<>();
        Shard follower = Shard.follower(shape.network(), shards.size());
        while (follower.next(batch) != null) {
            given.add(batch);
            List<byte[]> messages = Blocks.messages(shards, batch);
            List<Shard> anew = blocks.shards(() -> shape.network(), loss(1));
            for (int b = 0; b < anew.size(); b++) {
                byte[] last = null;
                for (byte[] merged : given) {
                    last = anew.get(b).next(merged);
                }
                assertThat(last)
                        .as("exchange %d, block %d", given.size() - 1, b)
                        .isEqualTo(messages.get(b));
            }
            batch = Blocks.merged(messages, random);
        }
        assertThat(given).as("exchanges").hasSizeGreaterThan(1);
    }

    @Test
    void next_again_sameBytes() {
        Network network = Shape.OWN_LAYERS.network();
        Shard shard = new Shard(network, 0, 1, batch(9, new Random(1)), loss(0).apply(batch(9, new Random(1))));
        byte[] batch = null;
        for (byte[] message = shard.next(null); message != null; message = shard.next(batch)) {
            assertThat(shard.next(batch)).isEqualTo(message).isNotSameAs(message);
            batch = message;
        }
        double loss = shard.loss();
        assertThat(shard.next(batch)).isNull();
        assertThat(shard.loss()).isEqualTo(loss);
    }

    @Test
    void next_firstLayer_isSparedItsDx() {
        Supplier<Network> networks = () -> new Network(new DelegatingLayer(new Affine(INPUTS, OUTPUTS, new Random(1))) {
            @Override
            public Matrix backward(Matrix dy) {
                throw new AssertionError("nobody needs the dx");
            }

            @Override
            public void backwardParameters(Matrix dy) {
                super.backward(dy);
            }
        });
        Network network = networks.get();

        Blocks.ofSizes(batch(9, new Random(1)), 4, 5).step(network, networks, ShardTest::square, new Random(1));

        assertThat(network.parameters()).allMatch(Parameter::hasGradient);
    }

    /** Only a follower sets anything. */
    @Test
    void next_untilTheEnd_leavesTheNetworkOfABlock() {
        Matrix x = batch(9, new Random(1));
        Network network = Shape.NESTED.network();
        Network untouched = Shape.NESTED.network();

        Blocks.step(
                Shard.follower(Shape.NESTED.network(), 2),
                Blocks.ofSizes(x, 4, 5).shards(() -> network, ShardTest::square),
                new Random(1));

        assertThat(network.state()).isEqualTo(untouched.state());
        assertThat(network.parameters()).noneMatch(Parameter::hasGradient);
    }

    /** Loss, number of terms, dW of 5×3 and db; a header of 28 bytes, and 8 for the block. */
    @Test
    void next_last_hasEachSumOnce() {
        Matrix x = batch(9, new Random(1));

        List<byte[]> exchanges = Blocks.step(
                Shard.follower(Shape.AFFINE.network(), 1),
                Blocks.ofSizes(x, 9).shards(Shape.AFFINE::network, ShardTest::square),
                new Random(1));

        assertThat(exchanges.get(1)).hasSize(28 + 8 + 8 * (2 + 1 + INPUTS * OUTPUTS + 2 * OUTPUTS));
    }

    /** 2L + 1, one more for each batch norm that moves a pivot, two without a batch norm. */
    @Test
    void next_anyNetwork_documentedNumberOfExchanges() {
        Matrix x = batch(9, new Random(1));
        Matrix aboutZero = Matrices.uniform(9, INPUTS, 1);

        assertThat(exchanges(Shape.AFFINE, x)).isEqualTo(2);
        assertThat(exchanges(Shape.BATCH_NORM_FIRST, aboutZero)).isEqualTo(3);
        assertThat(exchanges(Shape.BATCH_NORM_FIRST, x)).isEqualTo(4);
        assertThat(exchanges(Shape.BATCH_NORMS_IN_A_ROW, aboutZero)).isEqualTo(7);
    }

    private static int exchanges(Shape shape, Matrix x) {
        List<Shard> shards = Blocks.ofSizes(x, 4, 5).shards(() -> shape.network(), ShardTest::square);
        return Blocks.step(Shard.follower(shape.network(), 2), shards, new Random(1))
                .size();
    }

    static void assertSame(Network actual, Network expected, String description) {
        assertThat(List.copyOf(actual.state().values()))
                .as(description)
                .isEqualTo(List.copyOf(expected.state().values()));
        for (int i = 0; i < expected.parameters().size(); i++) {
            assertThat(actual.parameters().get(i).gradient())
                    .as("%s, parameter %d", description, i)
                    .isEqualTo(expected.parameters().get(i).gradient());
        }
    }
}
