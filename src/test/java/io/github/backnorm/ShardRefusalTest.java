package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What a {@link Shard} refuses, and that nothing has changed then. {@link ShardTest} has what it computes. */
final class ShardRefusalTest {
    private static Loss square(Matrix y) {
        return Loss.meanSquaredError(y, Matrix.zeros(y.rows(), y.columns()));
    }

    private static Network network() {
        Random random = new Random(1);
        return new Network(
                new Affine(3, 4, random), new Network(new BatchNorm(4), new ReLU()), new Affine(4, 2, random));
    }

    private static Matrix rows(int rows) {
        return Matrices.uniform(rows, 3, rows);
    }

    private static Shard shard(int block, int blocks) {
        return new Shard(network(), block, blocks, rows(5), ShardRefusalTest::square);
    }

    /** The messages of so many blocks, before anything is exchanged. */
    private static List<byte[]> messages(int blocks) {
        List<byte[]> messages = new ArrayList<>();
        for (int b = 0; b < blocks; b++) {
            messages.add(shard(b, blocks).next(null));
        }
        return messages;
    }

    private static byte[] merged(byte[]... messages) {
        return Arrays.stream(messages).reduce(Shard::merge).orElseThrow();
    }

    private static byte[] merged(List<byte[]> messages) {
        return merged(messages.toArray(byte[][]::new));
    }

    // Which blocks

    @ParameterizedTest
    @CsvSource({
        "'', blocks 0 to 4",
        "'1', 'block 0, blocks 2 to 4'",
        "'0 1 2 3', block 4",
        "'0 4', blocks 1 to 3",
        "'2 1 0', blocks 3 to 4",
        "'1 3', 'block 0, block 2, block 4'"
    })
    void next_blockMissing_named(String merged, String missing) {
        List<byte[]> messages = messages(5);
        byte[] given = Shard.follower(network(), 5).next(null);
        for (String block : merged.isEmpty() ? new String[0] : merged.split(" ")) {
            given = Shard.merge(given, messages.get(Integer.parseInt(block)));
        }
        Shard shard = shard(0, 5);
        byte[] own = shard.next(null);
        byte[] batch = given;

        assertRefused(() -> shard.next(batch), "Shard.next: merged lacks " + missing + ", expected all 5 blocks");
        assertThat(shard.next(null)).as("which may go on").isEqualTo(own);
        assertThat(shard.next(merged(messages))).isNotNull();
    }

    @ParameterizedTest
    @CsvSource({"0, 0, 0", "'0 1', 1, 1", "3, '0 1 2 3', 3", "'0 1 2 3', 2, 2", "'1 2', '2 3', 2", "4, '3 4', 4"})
    void merge_blockInBoth_named(String one, String other, int doubled) {
        byte[] first = merged(blocks(one));
        byte[] second = merged(blocks(other));

        assertRefused(
                () -> Shard.merge(first, second), "Shard.merge: block " + doubled + " occurs twice, expected once");
        assertRefused(
                () -> Shard.merge(second, first), "Shard.merge: block " + doubled + " occurs twice, expected once");
    }

    private static byte[][] blocks(String blocks) {
        List<byte[]> messages = messages(5);
        return Arrays.stream(blocks.split(" "))
                .map(block -> messages.get(Integer.parseInt(block)))
                .toArray(byte[][]::new);
    }

    // Which exchange, network and batch

    static Stream<Arguments> strangers() {
        Network other = network();
        Parameter weight = other.parameters().get(0);
        weight.setValue(weight.value().map(Math::nextUp));
        return Stream.of(
                Arguments.of("another network", firstMessage(other, 1)),
                Arguments.of(
                        "another network",
                        firstMessage(new Network(new Affine(3, 4, new Random(1)), new BatchNorm(4)), 1)),
                Arguments.of("another network", firstMessage(withNorm(new BatchNorm(4, 1e-3, 0.1), new ReLU()), 1)),
                Arguments.of("another network", firstMessage(withNorm(new BatchNorm(4, 1e-5, 0.2), new ReLU()), 1)),
                Arguments.of("another network", firstMessage(withNorm(new BatchNorm(4)), 1)),
                Arguments.of("another network", firstMessage(network().withPrecision(Precision.SINGLE), 1)),
                Arguments.of("a batch of 2 blocks, expected 1", firstMessage(network(), 2)),
                Arguments.of("exchange 1, expected 0", messageOfExchange(1)),
                Arguments.of("exchange 2, expected 0", messageOfExchange(2)));
    }

    /** With the parameters of {@link #network}, but another batch norm. */
    private static Network withNorm(Layer... inner) {
        Random random = new Random(1);
        return new Network(new Affine(3, 4, random), new Network(inner), new Affine(4, 2, random));
    }

    private static byte[] firstMessage(Network network, int blocks) {
        return new Shard(network, 0, blocks, rows(5), ShardRefusalTest::square).next(null);
    }

    private static byte[] messageOfExchange(int number) {
        Shard shard = shard(0, 1);
        byte[] message = shard.next(null);
        for (int i = 0; i < number; i++) {
            message = shard.next(message);
        }
        return message;
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("strangers")
    void nextAndMerge_messageOfSomethingElse_saysOfWhat(String what, byte[] stranger) {
        Shard shard = shard(0, 1);
        byte[] own = shard.next(null);

        assertThatIllegalArgumentException()
                .isThrownBy(() -> shard.next(stranger))
                .withMessageStartingWith("Shard.next: merged is of " + what);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Shard.merge(own, stranger))
                .withMessageStartingWith("Shard.merge: other is of " + what);
        assertThat(shard.next(own)).as("which may go on").isNotNull();
    }

    @Test
    void next_messageOfEarlierExchange_refused() {
        Shard shard = shard(0, 1);
        byte[] first = shard.next(null);
        byte[] second = shard.next(first);
        byte[] third = shard.next(second);

        assertRefused(() -> shard.next(first), "Shard.next: merged is of exchange 0, expected 2");
        assertThat(shard.next(third)).isNull();
        assertRefused(() -> shard.next(second), "Shard.next: merged is of exchange 1, expected 2");
        assertThat(shard.next(third)).isNull();
    }

    /** A call that is repeated must be the same call. */
    @Test
    void next_repeatedWithMessageOfAnotherNetwork_refused() {
        Shard shard = shard(0, 1);
        shard.next(shard.next(null));
        Network other = network();
        other.parameters().get(0).setValue(Matrix.zeros(3, 4));

        assertThatIllegalArgumentException()
                .isThrownBy(() -> shard.next(firstMessage(other, 1)))
                .withMessageStartingWith("Shard.next: merged is of another network");
    }

    @Test
    void next_nullOrMessageOutOfPlace_refused() {
        Shard shard = shard(0, 1);
        byte[] stranger = messages(1).get(0);

        assertRefused(() -> shard.next(stranger), "Shard.next: merged is a message, expected null in the first call");
        byte[] first = shard.next(null);
        byte[] second = shard.next(first);
        assertRefused(() -> shard.next(null), "Shard.next: merged is null, expected the messages of exchange 1");
        byte[] third = shard.next(second);
        shard.next(third);
        assertRefused(() -> shard.next(null), "Shard.next: merged is null, expected the messages of exchange 2");
    }

    // Arguments

    static Stream<Arguments> arguments() {
        Matrix x = rows(5);
        Network network = network();
        byte[] message = messages(1).get(0);
        return Stream.of(
                Arguments.of(
                        NullPointerException.class,
                        "Shard.new: network is null, expected a value",
                        call(() -> new Shard(null, 0, 1, x, ShardRefusalTest::square))),
                Arguments.of(
                        NullPointerException.class,
                        "Shard.new: x is null, expected a value",
                        call(() -> new Shard(network, 0, 1, null, ShardRefusalTest::square))),
                Arguments.of(
                        NullPointerException.class,
                        "Shard.new: loss is null, expected a value",
                        call(() -> new Shard(network, 0, 1, x, null))),
                Arguments.of(
                        NullPointerException.class,
                        "Shard.follower: network is null, expected a value",
                        call(() -> Shard.follower(null, 1))),
                Arguments.of(
                        IllegalArgumentException.class,
                        "Shard.new: blocks is 0, expected at least 1",
                        call(() -> new Shard(network, 0, 0, x, ShardRefusalTest::square))),
                Arguments.of(
                        IllegalArgumentException.class,
                        "Shard.follower: blocks is -1, expected at least 1",
                        call(() -> Shard.follower(network, -1))),
                Arguments.of(
                        IndexOutOfBoundsException.class,
                        "Shard.new: block is 3, expected at least 0 and less than 3",
                        call(() -> new Shard(network, 3, 3, x, ShardRefusalTest::square))),
                Arguments.of(
                        IndexOutOfBoundsException.class,
                        "Shard.new: block is -1, expected at least 0 and less than 3",
                        call(() -> new Shard(network, -1, 3, x, ShardRefusalTest::square))),
                Arguments.of(
                        IllegalArgumentException.class,
                        "Shard.new: block 2: layer 0 (Affine): x is 5x4, expected Nx3 (the layer has 3 inputs)",
                        call(() -> new Shard(network, 2, 3, Matrix.zeros(5, 4), ShardRefusalTest::square))),
                Arguments.of(
                        IllegalArgumentException.class,
                        "Shard.new: block 0: layer 0 (Affine): x is 0x4, expected Nx3 (the layer has 3 inputs)",
                        call(() -> new Shard(network, 0, 3, Matrix.zeros(0, 4), ShardRefusalTest::square))),
                Arguments.of(
                        NullPointerException.class,
                        "Shard.merge: one is null, expected a value",
                        call(() -> Shard.merge(null, message))),
                Arguments.of(
                        NullPointerException.class,
                        "Shard.merge: other is null, expected a value",
                        call(() -> Shard.merge(message, null))));
    }

    private static ThrowingCallable call(ThrowingCallable call) {
        return call;
    }

    @ParameterizedTest(name = "{1}")
    @MethodSource("arguments")
    void call_badArgument_refused(Class<? extends Exception> type, String message, ThrowingCallable call) {
        assertThatExceptionOfType(type).isThrownBy(call).withMessage(message);
    }

    @Test
    void loss_beforeTheEnd_refused() {
        Shard shard = shard(0, 1);
        String message = "Shard.loss: the step has not ended; call next until it returns null";

        byte[] batch = null;
        do {
            assertThatIllegalStateException().isThrownBy(shard::loss).withMessage(message);
            batch = shard.next(batch);
        } while (batch != null);

        assertThat(shard.loss()).isPositive();
    }

    // The rows

    /** A step that fails: the refusal, and the layers, the blocks and the loss that lead to it. */
    private record Failure(
            boolean ofBatch,
            String message,
            Supplier<Network> networks,
            Function<Matrix, Loss> loss,
            List<Matrix> rows) {
        /** Refused by a block. */
        static Failure ofBlock(
                String message, Supplier<Network> networks, Function<Matrix, Loss> loss, Matrix... rows) {
            return new Failure(false, message, networks, loss, List.of(rows));
        }

        /** Refused by all blocks, and by the follower. */
        static Failure ofBatch(
                String message, Supplier<Network> networks, Function<Matrix, Loss> loss, Matrix... rows) {
            return new Failure(true, message, networks, loss, List.of(rows));
        }

        @Override
        public String toString() {
            return message;
        }
    }

    static Stream<Failure> failures() {
        String columnOfX =
                " of x, γ or β is too large or too small for a batch in blocks, expected √(σ² + ε) from 1e-90"
                        + " to 1e90, the spread and γ/√(σ² + ε) too unless they are 0,"
                        + " and β up to 1e90; scale x, or train on the whole batch";
        String columnOfDy = " of dy is too large or too small for a batch in blocks, expected √Σdy² from 1e-90 to 1e90,"
                + " or 0; scale the loss, or train on the whole batch";
        String norm = "layer 0 (BatchNorm): ";
        Supplier<Network> network = () -> new Network(new BatchNorm(3), new ReLU());
        Matrix x = rows(4);
        Matrix tiny = x.times(1e-95);
        return Stream.of(
                Failure.ofBlock(
                        "block 1: " + norm + "x[2,1] is NaN",
                        network,
                        ShardRefusalTest::square,
                        x,
                        with(2, 1, Double.NaN)),
                Failure.ofBlock(
                        "block 0: " + norm + "x[3,0] is Infinity",
                        network,
                        ShardRefusalTest::square,
                        with(3, 0, 1 / 0.0),
                        x),
                Failure.ofBatch(norm + "column 2" + columnOfX, network, ShardRefusalTest::square, x, with(0, 2, 1e200)),
                Failure.ofBatch(norm + "column 0" + columnOfX, network, ShardRefusalTest::square, with(0, 0, -1e95), x),
                Failure.ofBatch(
                        norm + "column 0" + columnOfX, () -> withoutEpsilon(1), ShardRefusalTest::square, tiny, tiny),
                Failure.ofBatch(
                        norm + "column 0" + columnOfX, () -> withoutEpsilon(1e-150), ShardRefusalTest::square, x, x),
                Failure.ofBatch(
                        norm + "column 0" + columnOfX,
                        () -> withoutEpsilon(Double.NaN),
                        ShardRefusalTest::square,
                        x,
                        x),
                Failure.ofBatch(
                        norm + "number of rows in all blocks is 1",
                        network,
                        ShardRefusalTest::square,
                        rows(0),
                        rows(1)),
                Failure.ofBatch(
                        norm + "number of rows in all blocks is 0",
                        network,
                        ShardRefusalTest::square,
                        rows(0),
                        rows(0)),
                Failure.ofBatch(
                        "number of rows in all blocks is 0",
                        () -> new Network(),
                        ShardRefusalTest::square,
                        rows(0),
                        rows(0)),
                Failure.ofBlock(
                        "block 1: layer 1 (Network): layer 1 (Network): layer 0 (BatchNorm): x[2,1] is NaN",
                        () -> new Network(
                                new ReLU(), new Network(new ReLU(), new Network(new BatchNorm(3)), new ReLU())),
                        ShardRefusalTest::square,
                        x,
                        with(2, 1, Double.NaN)),
                Failure.ofBlock(
                        "block 0: " + norm + "dy[0,0] is NaN",
                        () -> new Network(new BatchNorm(3)),
                        y -> square(y, Double.NaN),
                        x,
                        x),
                Failure.ofBatch(norm + "column 0" + columnOfDy, network, y -> square(y, -1e95), x, x),
                Failure.ofBatch(
                        norm + "column 1" + columnOfDy,
                        () -> new Network(new BatchNorm(3), new Scale(Matrix.ofRow(0, 1e-95, 1))),
                        ShardRefusalTest::square,
                        x,
                        x),
                Failure.ofBlock("block 0: loss is null", network, y -> null, x, x),
                Failure.ofBlock(
                        "block 1: gradient of the loss is 1x3, expected 5x3",
                        network,
                        y -> square(y.rows() == 5 ? y.row(0) : y),
                        x,
                        rows(5)),
                Failure.ofBlock(
                        "block 0: Loss.meanSquaredError: target is 9x9, expected 4x3",
                        network,
                        y -> Loss.meanSquaredError(y, Matrix.zeros(9, 9)),
                        x,
                        x),
                Failure.ofBlock(
                        "block 0: the loss's own words",
                        network,
                        y -> {
                            throw new IllegalArgumentException("the loss's own words");
                        },
                        x,
                        x),
                Failure.ofBatch(
                        norm + "column 0" + columnOfX,
                        () -> withoutEpsilon(1),
                        ShardRefusalTest::square,
                        Matrix.filled(4, 3, 1),
                        Matrix.filled(1, 3, 1)),
                // Squares that underflow to 0
                Failure.ofBatch(
                        norm + "column 0" + columnOfX,
                        network,
                        ShardRefusalTest::square,
                        Matrix.zeros(4, 3),
                        Matrix.generate(4, 3, (i, j) -> i * Double.MIN_VALUE)),
                // More columns than are computed together
                Failure.ofBatch(
                        norm + "column 598" + columnOfX,
                        () -> new Network(new BatchNorm(600)),
                        ShardRefusalTest::square,
                        wide(0),
                        wide(1e95)),
                Failure.ofBatch(
                        norm + "column 598" + columnOfDy,
                        () -> new Network(new BatchNorm(600)),
                        y -> Loss.meanSquaredError(y, wide(1e95)),
                        wide(0),
                        wide(1)),
                // A layer of a user's type
                Failure.ofBlock(
                        "block 0: layer 0 (Misfit): y is null",
                        () -> new Network(new Misfit(y -> null, dx -> dx)),
                        ShardRefusalTest::square,
                        x,
                        x),
                Failure.ofBlock(
                        "block 0: layer 0 (Misfit): y is 1x3, expected 4x3",
                        () -> new Network(new Misfit(y -> y.row(0), dx -> dx)),
                        ShardRefusalTest::square,
                        x,
                        x),
                Failure.ofBlock(
                        "block 0: layer 1 (BatchNorm): x is 4x4, expected Nx3",
                        () -> new Network(new Misfit(Matrix::transpose, dx -> dx), new BatchNorm(3)),
                        ShardRefusalTest::square,
                        Matrix.zeros(4, 4),
                        x),
                Failure.ofBlock(
                        "block 0: layer 1 (Misfit): dx is 3x4, expected 4x3",
                        () -> new Network(new BatchNorm(3), new Misfit(y -> y, Matrix::transpose)),
                        ShardRefusalTest::square,
                        x,
                        x),
                Failure.ofBlock(
                        "block 0: layer 1 (Misfit): dx is null",
                        () -> new Network(new BatchNorm(3), new Misfit(y -> y, dx -> null)),
                        ShardRefusalTest::square,
                        x,
                        x));
    }

    private static Network withoutEpsilon(double gamma) {
        BatchNorm norm = new BatchNorm(3, 0, 0.1);
        norm.gamma().setValue(Matrix.ofRow(gamma, 1, 1));
        return new Network(norm);
    }

    /** Four rows with a large number in a column near the end. */
    private static Matrix wide(double large) {
        return Matrix.generate(4, 600, (i, j) -> j == 598 ? large * (i + 1) : i);
    }

    /** The four rows with one other entry. */
    private static Matrix with(int row, int column, double value) {
        Matrix x = rows(4);
        return Matrix.generate(4, 3, (i, j) -> i == row && j == column ? value : x.get(i, j));
    }

    /** A loss whose gradient's column 0 is about the given number. */
    private static Loss square(Matrix y, double size) {
        return Loss.meanSquaredError(y, Matrix.generate(y.rows(), y.columns(), (i, j) -> j == 0 ? size : 0));
    }

    /** A user's layer that returns what it should not. */
    private static final class Misfit extends DelegatingLayer {
        private final UnaryOperator<Matrix> y;
        private final UnaryOperator<Matrix> dx;

        Misfit(UnaryOperator<Matrix> y, UnaryOperator<Matrix> dx) {
            super(new ReLU());
            this.y = y;
            this.dx = dx;
        }

        @Override
        public Matrix forward(Matrix x) {
            return y.apply(super.forward(x));
        }

        @Override
        public Matrix backward(Matrix dy) {
            return dx.apply(super.backward(dy));
        }
    }

    @ParameterizedTest
    @MethodSource("failures")
    void next_stepThatFails_refusedAndNothingChanged(Failure failure) {
        List<Network> networks = new ArrayList<>();
        for (int i = 0; i <= failure.rows.size(); i++) {
            networks.add(failure.networks.get());
        }
        Network driver = networks.get(networks.size() - 1);
        driver.parameters()
                .forEach(parameter -> parameter.setGradient(parameter.value().times(7)));
        List<Map<String, Matrix>> states = networks.stream().map(Network::state).toList();
        List<Shard> shards =
                new Blocks(failure.rows).shards(List.copyOf(networks).iterator()::next, x -> failure.loss);
        shards.add(Shard.follower(driver, shards.size()));

        byte[] before = null;
        byte[] batch = null;
        List<Object> last = List.of();
        List<Object> results = results(shards, null);
        while (results.stream().allMatch(byte[].class::isInstance)) {
            before = batch;
            batch = merged(results.stream().map(byte[].class::cast).toList());
            last = results;
            results = results(shards, batch);
        }

        List<String> refusals = new ArrayList<>();
        for (int i = 0; i < shards.size(); i++) {
            Shard shard = shards.get(i);
            if (results.get(i) instanceof RuntimeException refusal) {
                refusals.add(refusal.getMessage());
                byte[] again = batch;
                assertThatIllegalStateException()
                        .isThrownBy(() -> shard.next(again))
                        .withMessage("Shard.next: an earlier call has failed; make the shard anew");
                assertThatIllegalStateException().isThrownBy(shard::loss);
                if (batch != null) {
                    assertThat(shard.next(before)).as("message before").isEqualTo(last.get(i));
                }
            } else {
                assertThat(shard.next(batch)).as("message again").isEqualTo(results.get(i));
            }
        }
        if (failure.ofBatch) {
            assertThat(refusals).hasSameSizeAs(shards);
            assertThat(refusals.get(1)).startsWith("Shard.next: block 1: " + failure.message);
            assertThat(refusals.get(2)).startsWith("Shard.next: " + failure.message);
        } else {
            assertThat(refusals.get(0)).startsWith("Shard.next: " + failure.message);
        }
        assertThat(networks).extracting(Network::state).isEqualTo(states);
        for (Parameter parameter : driver.parameters()) {
            assertThat(parameter.gradient()).isEqualTo(parameter.value().times(7));
        }
    }

    /** The message, or the refusal, of each. */
    private static List<Object> results(List<Shard> shards, byte[] batch) {
        List<Object> results = new ArrayList<>();
        for (Shard shard : shards) {
            try {
                results.add(shard.next(batch));
            } catch (RuntimeException refusal) {
                results.add(refusal);
            }
        }
        return results;
    }

    /** The parameters of the first layer come last. */
    @Test
    void next_lastCallFails_noGradientIsSet() {
        boolean[] fails = {false};
        Layer own = new DelegatingLayer(new Affine(3, 3, new Random(1))) {
            @Override
            public List<Parameter> parameters() {
                if (fails[0]) {
                    throw new IllegalStateException("own words");
                }
                return super.parameters();
            }
        };
        Affine affine = new Affine(3, 2, new Random(1));
        Network network = new Network(own, affine);
        Shard follower = Shard.follower(network, 1);
        Shard shard = new Shard(network, 0, 1, rows(4), ShardRefusalTest::square);
        follower.next(null);
        byte[] first = shard.next(null);
        follower.next(first);
        byte[] last = shard.next(first);
        fails[0] = true;

        assertThatIllegalStateException().isThrownBy(() -> follower.next(last)).withMessage("own words");
        assertThat(affine.parameters()).noneMatch(Parameter::hasGradient);
    }

    @Test
    void next_networkWithUsersLayerOfAnotherShard_refused() {
        Network network = new Network(new Affine(3, 3, new Random(1)), new Network(new Scale(Matrix.ofRow(1, 2, 3))));
        Shard one = new Shard(network, 0, 2, rows(4), ShardRefusalTest::square);
        byte[] first = one.next(null);
        Shard two = new Shard(network, 1, 2, rows(5), ShardRefusalTest::square);
        byte[] batch = Shard.merge(first, two.next(null));

        assertThatIllegalStateException()
                .isThrownBy(() -> one.next(batch))
                .withMessage(
                        "Shard.next: layer 1 (Network): layer 0 (Scale) is of a user's type and keeps one pass, and"
                                + " another shard was made of the network; give each shard a network of its own");
        assertThat(one.next(null)).as("again").isEqualTo(first);
        assertThat(two.next(batch)).isNotNull();
    }

    /** Built-in layers are copied. */
    @Test
    void next_oneNetworkForAllShards_sameBitsAsOneForEach() {
        Blocks blocks = Blocks.ofSizes(rows(9), 3, 4, 2);
        Network expected = network();
        Network actual = network();

        Blocks.step(
                Shard.follower(expected, 3),
                blocks.shards(ShardRefusalTest::network, x -> ShardRefusalTest::square),
                new Random(1));
        Blocks.step(
                Shard.follower(actual, 3), blocks.shards(() -> actual, x -> ShardRefusalTest::square), new Random(1));

        ShardTest.assertSame(actual, expected, "one network");
    }

    /** A shard takes the network as it is when the shard is made. */
    @Test
    void next_networkChangedMeanwhile_asIfItWereNot() {
        Blocks blocks = Blocks.ofSizes(rows(9), 9);
        Network expected = network();
        Network actual = network();
        Network changed = network();
        List<Shard> shards = blocks.shards(() -> changed, x -> ShardRefusalTest::square);
        changed.parameters()
                .forEach(parameter -> parameter.setValue(parameter.value().times(2)));
        changed.forward(rows(3));

        Blocks.step(
                Shard.follower(expected, 1),
                blocks.shards(ShardRefusalTest::network, x -> ShardRefusalTest::square),
                new Random(1));
        Blocks.step(Shard.follower(actual, 1), shards, new Random(1));

        ShardTest.assertSame(actual, expected, "changed network");
    }

    private static void assertRefused(ThrowingCallable call, String message) {
        assertThatIllegalArgumentException().isThrownBy(call).withMessage(message);
    }
}
