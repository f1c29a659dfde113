package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.function.Function;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Tag("bits")
final class ShardTest {
    private static final int CLASSES = 3;

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void next_oneBlock_bitsOfForwardAndBackward(long seed) {
        Random random = new Random(seed);
        Network network = network(random);
        Matrix x = batch(2 + random.nextInt(80), random);
        Network other = copy(network);

        Function<Matrix, Loss> lossOf = loss(x, seed % 2 == 0);
        Loss loss = lossOf.apply(network.forward(x));
        network.backwardParameters(loss.gradient());
        double ofShard = Blocks.of(x, x.rows()).step(other, y -> lossOf, random);

        assertThat(ofShard).as("seed %d", seed).isEqualTo(loss.value());
        assertSame(other, network, seed);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
    void next_anyOrderOfMerging_sameBits(long seed) {
        Random random = new Random(seed);
        Network network = network(random);
        Matrix x = batch(2 + random.nextInt(120), random);
        Blocks blocks = Blocks.random(x, random);
        Network first = copy(network);
        Network second = copy(network);

        double loss = blocks.step(first, rows -> loss(rows, seed % 2 == 0), new Random(1));
        double again = blocks.step(second, rows -> loss(rows, seed % 2 == 0), new Random(2));

        assertThat(again).as("seed %d", seed).isEqualTo(loss);
        assertSame(second, first, seed);
    }

    /** The rows of a batch in blocks. */
    private record Blocks(List<Matrix> rows) {
        static Blocks of(Matrix x, int... ends) {
            List<Matrix> rows = new ArrayList<>();
            int from = 0;
            for (int end : ends) {
                rows.add(
                        x.selectRows(java.util.stream.IntStream.range(from, end).toArray()));
                from = end;
            }
            return new Blocks(rows);
        }

        /** Blocks of any size, some without a row. */
        static Blocks random(Matrix x, Random random) {
            int[] ends =
                    random.ints(random.nextInt(12), 0, x.rows() + 1).sorted().toArray();
            ends = Arrays.copyOf(ends, ends.length + 1);
            ends[ends.length - 1] = x.rows();
            return of(x, ends);
        }

        /** A step, with messages merged in random order and grouping; returns the loss. */
        double step(Network network, Function<Matrix, Function<Matrix, Loss>> lossOf, Random random) {
            Shard driver = Shard.follower(network, rows.size());
            List<Shard> shards = new ArrayList<>();
            for (Matrix x : rows) {
                shards.add(new Shard(network, shards.size(), rows.size(), x, lossOf.apply(x)));
            }
            byte[] batch = null;
            for (byte[] merged = driver.next(null); merged != null; merged = driver.next(batch)) {
                List<byte[]> messages = new ArrayList<>(List.of(merged));
                for (Shard shard : shards) {
                    messages.add(shard.next(batch));
                }
                while (messages.size() > 1) {
                    Collections.shuffle(messages, random);
                    messages.add(Shard.merge(messages.remove(0), messages.remove(0)));
                }
                batch = messages.get(0);
            }
            return driver.loss();
        }
    }

    private static Network network(Random random) {
        List<Layer> layers = new ArrayList<>();
        int columns = 5;
        for (int i = random.nextInt(4); i > 0; i--) {
            int next = 1 + random.nextInt(20);
            layers.add(
                    random.nextBoolean()
                            ? new Affine(columns, next, random)
                            : new Affine(columns, next, random).withoutBias());
            if (random.nextInt(4) > 0) {
                layers.add(new BatchNorm(next));
            }
            if (random.nextBoolean()) {
                layers.add(new ReLU());
            }
            columns = next;
        }
        Network front = new Network(layers.toArray(Layer[]::new));
        return new Network(front, new BatchNorm(columns), new ReLU(), Affine.outputLayer(columns, CLASSES, random));
    }

    /** Columns of different means, so that some pivots move. */
    private static Matrix batch(int rows, Random random) {
        return Matrix.generate(rows, 5, (i, j) -> random.nextDouble() + (j % 2) * 1000);
    }

    private static Function<Matrix, Loss> loss(Matrix x, boolean classes) {
        return classes
                ? y -> Loss.softmaxCrossEntropy(y, labels(x))
                : y -> Loss.meanSquaredError(y, Matrix.generate(y.rows(), y.columns(), (i, j) -> x.get(i, j)));
    }

    private static int[] labels(Matrix x) {
        int[] labels = new int[x.rows()];
        Arrays.setAll(labels, i -> (int) (x.get(i, 0) * CLASSES));
        return labels;
    }

    private static Network copy(Network network) {
        return PyTorch.network(PyTorch.stateDict(network));
    }

    private static void assertSame(Network actual, Network expected, long seed) {
        assertThat(List.copyOf(actual.state().values()))
                .as("seed %d", seed)
                .isEqualTo(List.copyOf(expected.state().values()));
        for (int i = 0; i < expected.parameters().size(); i++) {
            assertThat(actual.parameters().get(i).gradient())
                    .as("seed %d, parameter %d", seed, i)
                    .isEqualTo(expected.parameters().get(i).gradient());
        }
    }
}
