package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** {@link Network#folded}. */
final class FoldedNetworkTest {
    private static final long SEED = 83;
    private static final Matrix X = Matrices.uniform(5, 3, SEED);

    private static Affine affine(int inputs, int outputs, long seed) {
        return new Affine(Matrices.uniform(inputs, outputs, SEED + seed), Matrices.uniform(1, outputs, SEED - seed));
    }

    private static BatchNorm batchNorm(int features, long seed) {
        BatchNorm layer = new BatchNorm(features);
        layer.gamma().setValue(Matrices.uniform(1, features, SEED + seed));
        layer.beta().setValue(Matrices.uniform(1, features, SEED - seed));
        layer.setRunningStatistics(
                Matrices.uniform(1, features, SEED + 2 * seed),
                Matrices.uniform(1, features, SEED - 2 * seed).map(Math::abs));
        return layer;
    }

    private static BatchNorm batchNorm(double variance, double epsilon, double gamma) {
        BatchNorm layer = new BatchNorm(2, epsilon, 0.1);
        layer.setRunningStatistics(Matrix.ofRow(1, 0), Matrix.ofRow(4, variance));
        layer.gamma().setValue(Matrix.ofRow(1, gamma));
        return layer;
    }

    /** The powers of two leave nothing to round. */
    @Test
    void folded_handComputed_coefficientsExact() {
        BatchNorm norm = new BatchNorm(4, 0, 0.1);
        norm.setRunningStatistics(Matrix.ofRow(1, 1, 3, 3), Matrix.ofRow(4, 0x1p-1040, 0.25, 16));
        norm.gamma().setValue(Matrix.ofRow(4, 0x1p-520, -1, 0));
        norm.beta().setValue(Matrix.ofRow(0.5, 0, 1, 7));
        Network network = new Network(
                new Affine(
                        Matrix.ofRows(new double[] {1, 2, 3, 4}, new double[] {5, 6, 7, 8}), Matrix.ofRow(2, 2, 2, 2)),
                norm);

        // factors 4/2, 2⁻⁵²⁰/2⁻⁵²⁰, −1/½, 0
        Affine folded = (Affine) network.folded().layers().get(0);
        assertThat(folded.weight().value())
                .isEqualTo(Matrix.ofRows(new double[] {2, 2, -6, 0}, new double[] {10, 6, -14, 0}));
        assertThat(folded.bias().value()).isEqualTo(Matrix.ofRow(2.5, 1, 3, 7));
    }

    /** √(½ + ½) is 1. */
    @Test
    void folded_varianceEqualsEpsilon_divides() {
        BatchNorm norm = new BatchNorm(1, 0.5, 0.1);
        norm.setRunningStatistics(Matrix.ofRow(1), Matrix.ofRow(0.5));
        Network folded = new Network(new Affine(Matrix.ofRow(2), Matrix.ofRow(4)), norm).folded();
        assertThat(folded.state()).isEqualTo(Map.of("0.weight", Matrix.ofRow(2), "0.bias", Matrix.ofRow(3)));
    }

    @Test
    void folded_affineWithoutBias_isThatOfZeroBias() {
        Matrix weight = Matrices.uniform(3, 2, 1);
        Affine bare = new Affine(weight, Matrix.zeros(1, 2)).withoutBias();
        BatchNorm norm = batchNorm(0.5, 1e-5, 2);

        assertThat(new Network(bare, norm).folded().state())
                .isEqualTo(new Network(new Affine(weight, Matrix.zeros(1, 2)), norm)
                        .folded()
                        .state());
        assertThat(new Network(bare).folded().state()).isEqualTo(Map.of("0.weight", weight));
    }

    @Test
    void folded_singlePrecision_isKept() {
        Network single =
                new Network(affine(3, 2, 1), batchNorm(0.5, 1e-5, 2), affine(2, 2, 2)).withPrecision(Precision.SINGLE);
        assertThat(single.folded())
                .hasToString("Network[Affine 3→2 in single precision, Affine 2→2 in single precision]");
    }

    /** Coefficients that are rounded once, and what is inferred with them. */
    @ParameterizedTest
    @EnumSource
    void folded_hardColumns_withinBoundsOfExactArithmetic(HardColumns group) {
        List<HardColumns.Batch> batches = group.batches();
        for (boolean identity : new boolean[] {false, true}) {
            List<FoldedColumn> columns = FoldedColumn.of(batches, identity);
            assertThat(columns).isNotEmpty();
            assertThat(columns.stream()
                            .flatMap(column -> Stream.concat(column.coefficients().stream(), column.folded().stream())))
                    .filteredOn(entry -> !(entry.error() <= entry.bound()))
                    .isEmpty();
        }
    }

    @Test
    void folded_network_affineLayersTakeTheirBatchNormsIn() {
        Network network = new Network(
                batchNorm(3, 1), // nothing to be merged into
                affine(3, 4, 2),
                batchNorm(4, 3),
                new ReLU(),
                batchNorm(4, 4), // not after an affine layer
                new Network(affine(4, 6, 5), batchNorm(6, 6), batchNorm(6, 7)),
                affine(6, 2, 8),
                new Network(batchNorm(2, 9)));
        Network folded = network.folded();

        assertThat(folded)
                .hasToString("Network[BatchNorm 3, Affine 3→4, ReLU, BatchNorm 4, Network[Affine 4→6, BatchNorm 6],"
                        + " Affine 6→2, Network[BatchNorm 2]]");
        assertThat(folded.layers().get(0).state())
                .isEqualTo(network.layers().get(0).state());
        List<Layer> layers = network.layers();
        List<Layer> nested = ((Network) layers.get(5)).layers();
        Matrix y = new Network(layers.get(1), layers.get(2))
                .folded()
                .infer(layers.get(0).infer(X));
        y = layers.get(4).infer(layers.get(3).infer(y));
        y = nested.get(2)
                .infer(new Network(nested.get(0), nested.get(1)).folded().infer(y));
        y = layers.get(7).infer(layers.get(6).infer(y));
        assertThat(folded.infer(X)).isEqualTo(y);
    }

    @Test
    void folded_restOfNetwork_keepsConstantsOfBatchNorms() {
        Network folded = new Network(new BatchNorm(3, 0.25, 0.5), new ReLU()).folded();
        BatchNorm copy = (BatchNorm) folded.layers().get(0);
        assertThat(copy.epsilon()).isEqualTo(0.25);
        assertThat(copy.momentum()).isEqualTo(0.5);
        assertThat(new Network().folded().layers()).isEmpty();
    }

    /** Each of the two is trained, and the other stays as it was. */
    @Test
    void folded_trainedOn_otherStaysAsItWas() {
        Network network = new Network(
                batchNorm(3, 1), affine(3, 4, 2), batchNorm(4, 3), new ReLU(), new Network(affine(4, 2, 4)));
        Network folded = network.folded();
        folded.forward(X); // a pass that shared layers would forget
        Matrix y = network.infer(X);
        Matrix yOfFolded = folded.infer(X);

        train(network);
        assertThat(network.infer(X)).isNotEqualTo(y);
        assertThat(folded.infer(X)).isEqualTo(yOfFolded);
        folded.backwardParameters(Matrix.zeros(5, 2));

        y = network.infer(X);
        train(folded);
        assertThat(folded.infer(X)).isNotEqualTo(yOfFolded);
        assertThat(network.infer(X)).isEqualTo(y);
    }

    private static void train(Network network) {
        network.backwardParameters(network.forward(X));
        Optimizer.sgd(0.1).step(network.parameters());
    }

    @Test
    void folded_usersLayerBetweenFoldedNetworks_isServed() {
        Scale scale = new Scale(Matrix.filled(1, 4, 2));
        Network front = new Network(affine(3, 4, 1), batchNorm(4, 2));
        Network back = new Network(affine(4, 2, 3), batchNorm(2, 4));
        Network served = new Network(front.folded(), scale, back.folded());

        assertThat(served.infer(X))
                .isEqualTo(back.folded().infer(front.folded().infer(X).times(2)));
    }

    static Stream<Arguments> refusals() {
        Affine affine = new Affine(Matrix.filled(3, 2, 0x1p1000), Matrix.ofRow(0, 0));
        return Stream.of(
                arguments(
                        "layer 1 (BatchNorm): variance + epsilon of column 1 is 0.0, expected above 0;"
                                + " serve the network as it is",
                        new Network(affine(3, 2, 1), batchNorm(0, 0, 1))),
                arguments(
                        "layer 1 (BatchNorm): folded weight[0,1] is Infinity, expected a finite number",
                        new Network(affine, batchNorm(0x1p-100, 0, 1))),
                arguments(
                        "layer 1 (BatchNorm): folded bias[0,1] is NaN, expected a finite number",
                        new Network(new Affine(Matrix.zeros(3, 2), Matrix.ofRow(0, Double.NaN)), batchNorm(1, 0, 1))),
                arguments(
                        "layer 1 (Scale) is of a user's type, expected Affine, BatchNorm, ReLU or Network, which can be"
                                + " copied; fold the networks before and after it",
                        new Network(affine(3, 2, 1), new Scale(Matrix.ofRow(1, 1)))),
                arguments(
                        "layer 0 (Network): layer 2 (BatchNorm): variance + epsilon of column 1 is 0.0, expected above"
                                + " 0; serve the network as it is",
                        new Network(new Network(new ReLU(), affine(3, 2, 1), batchNorm(0, 0, 1)))));
    }

    @ParameterizedTest
    @MethodSource("refusals")
    void folded_cannotBe_rejected(String message, Network network) {
        assertThatIllegalArgumentException().isThrownBy(network::folded).withMessage("Network.folded: " + message);
    }
}
