package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The same bits in every execution of the build: kernels, lanes, numbers of threads, JDKs. */
@Tag("bits")
final class TrainingBitsTest {
    static final String EXPECTED_IN_BLOCKS = "1fb4e1c182ff4585098f62ea2baf51ec8b50fb547e3137526875ae829b5205a2";
    static final String EXPECTED_IN_SINGLE_PRECISION =
            "4c80a261ea75096e93765a46ffced87dfea301e565eeca4d2a27fc4a1ae3089b";
    static final String EXPECTED = "fc9d5e95970b62597f980798b1bc8a5da023e2fe54198194e6c2e2d28e108c7d";

    @Test
    void training_smallAndLargeBatches_givesTheExpectedBits() {
        assertThat(digest()).isEqualTo(EXPECTED);
    }

    @Test
    void trainingInSinglePrecision_smallAndLargeBatches_givesTheExpectedBits() {
        assertThat(digestInSinglePrecision()).isEqualTo(EXPECTED_IN_SINGLE_PRECISION);
    }

    @Test
    void trainingInBlocks_smallAndLargeBatches_givesTheExpectedBits() {
        assertThat(digestInBlocks()).isEqualTo(EXPECTED_IN_BLOCKS);
    }

    /** Of what is quick even where fused multiply-adds are slow. */
    static String digestOfSmallBatches() {
        MessageDigest digest = sha256();
        train(network(5, 7, 3), 4, 20, digest);
        train(network(5, 7, 3).withPrecision(Precision.SINGLE), 4, 20, digest);
        return HexFormat.of().formatHex(digest.digest());
    }

    static String digest() {
        MessageDigest digest = sha256();
        train(network(13, 17, 11, 5), 9, 60, digest);
        train(network(120, 130, 70, 10), 300, 2, digest); // large enough for several threads
        return HexFormat.of().formatHex(digest.digest());
    }

    static String digestInSinglePrecision() {
        MessageDigest digest = sha256();
        train(network(13, 17, 11, 5).withPrecision(Precision.SINGLE), 9, 60, digest);
        train(network(120, 130, 70, 10).withPrecision(Precision.SINGLE), 300, 2, digest);
        train(network(1030, 20, 1100, 3).withPrecision(Precision.SINGLE), 1050, 1, digest); // chains of 1,024
        return HexFormat.of().formatHex(digest.digest());
    }

    static String digestInBlocks() {
        MessageDigest digest = sha256();
        trainInBlocks(network(13, 17, 11, 5), 40, digest, 9, 1, 0, 23);
        trainInBlocks(network(120, 130, 70, 10), 2, digest, 300, 7, 299); // large enough for several threads
        return HexFormat.of().formatHex(digest.digest());
    }

    private static Network network(int... sizes) {
        Random random = new Random(1);
        List<Layer> layers = new ArrayList<>();
        for (int i = 1; i < sizes.length; i++) {
            layers.add(new Affine(sizes[i - 1], sizes[i], random));
            if (i < sizes.length - 1) {
                layers.add(new BatchNorm(sizes[i]));
                layers.add(new ReLU());
            }
        }
        return new Network(layers.toArray(Layer[]::new));
    }

    private static void train(Network network, int batch, int steps, MessageDigest digest) {
        Random random = new Random(2);
        int inputs = ((Affine) network.layers().get(0)).inputs();
        for (int step = 0; step < steps; step++) {
            Matrix x = Matrix.generate(batch, inputs, (row, column) -> 2 * random.nextDouble() - 1);
            Matrix y = network.forward(x);
            add(digest, y);
            add(digest, network.backward(y.map(value -> value - 1).times(1.0 / batch)));
            for (Parameter parameter : network.parameters()) {
                add(digest, parameter.gradient());
                parameter.setValue(parameter.value().plusScaled(-0.1, parameter.gradient()));
            }
            network.state().values().forEach(matrix -> add(digest, matrix));
            Matrix served = network.infer(x);
            assertThat(network.infer(x.row(batch - 1))).isEqualTo(served.row(batch - 1));
            add(digest, served);
        }
    }

    private static void trainInBlocks(Network network, int steps, MessageDigest digest, int... sizes) {
        Random random = new Random(2);
        Random ofMerging = new Random(3);
        int inputs = ((Affine) network.layers().get(0)).inputs();
        int batch = Arrays.stream(sizes).sum();
        for (int step = 0; step < steps; step++) {
            Matrix x = Matrix.generate(batch, inputs, (row, column) -> 2 * random.nextDouble() - 1 + column % 3 * 1000);
            Blocks blocks = Blocks.ofSizes(x, sizes);
            List<Shard> shards = blocks.shards(
                    () -> network,
                    part -> y -> Loss.softmaxCrossEntropy(
                            y, IntStream.range(0, y.rows()).map(i -> i % 5).toArray()));
            Shard follower = Shard.follower(network, sizes.length);
            Blocks.step(follower, shards, ofMerging);
            add(digest, Matrix.ofRow(follower.loss()));
            for (Parameter parameter : network.parameters()) {
                add(digest, parameter.gradient());
                parameter.setValue(parameter.value().plusScaled(-0.1, parameter.gradient()));
            }
            network.state().values().forEach(matrix -> add(digest, matrix));
        }
    }

    private static void add(MessageDigest digest, Matrix matrix) {
        double[] entries = matrix.toArray();
        ByteBuffer bytes = ByteBuffer.allocate(Double.BYTES * entries.length);
        for (double entry : entries) {
            bytes.putLong(Double.doubleToLongBits(entry));
        }
        digest.update(bytes.array());
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
