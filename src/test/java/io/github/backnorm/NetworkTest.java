package io.github.backnorm;

import static io.github.backnorm.LayerTest.gradients;
import static io.github.backnorm.LayerTest.with;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.assertThatNullPointerException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.github.backnorm.LayerTest.Bare;
import io.github.backnorm.LayerTest.Custom;
import io.github.backnorm.LayerTest.Refusal;
import io.github.backnorm.internal.Waiting;
import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

final class NetworkTest {
    private static final long SEED = 61;
    private static final Matrix X = Matrices.uniform(4, 3, SEED);
    private static final Matrix DY = Matrices.uniform(4, 2, SEED + 1);

    private static Affine affine(int inputs, int outputs, long seed) {
        return new Affine(Matrices.uniform(inputs, outputs, seed), Matrices.uniform(1, outputs, seed + 1000));
    }

    /**
     * γ repeats −1.5, 0, 0.75 and 1e-100, whose column is computed apart; ε is of the order of the variances, so that
     * N = 2 has gradients that show.
     */
    private static BatchNorm batchNorm(int features, long seed) {
        BatchNorm layer = new BatchNorm(features, 0.1, 0.1);
        double[] gammas = {-1.5, 0, 0.75, 1e-100};
        layer.gamma().setValue(Matrix.generate(1, features, (i, j) -> gammas[j % 4]));
        layer.beta().setValue(Matrices.uniform(1, features, seed));
        return layer;
    }

    /** Columns that fill vectors of 2, 4 and 8 lanes, where a gradient may go over another, and such that do not. */
    private static Network network(long seed) {
        return new Network(
                affine(3, 16, seed),
                batchNorm(16, seed + 1),
                new ReLU(),
                affine(16, 13, seed + 2),
                batchNorm(13, seed + 3),
                new ReLU(),
                affine(13, 2, seed + 4));
    }

    /** The same layers as in {@link #network}, in networks inside. */
    private static Network nested(long seed) {
        List<Layer> layers = network(seed).layers();
        return new Network(
                new Network(),
                new Network(layers.get(0), new Network(layers.get(1), layers.get(2), layers.get(3))),
                new Network(layers.get(4), layers.get(5)),
                layers.get(6));
    }

    @Test
    void calls_noLayers_areTheIdentity() {
        Network network = new Network();

        assertThat(network.forward(X)).isEqualTo(X);
        assertThat(network.infer(X)).isEqualTo(X);
        assertThat(network.backward(X.times(2))).isEqualTo(X.times(2));
        network.backwardParameters(X);
        network.restore(Map.of());
        assertThat(network.layers()).isEmpty();
        assertThat(network.parameters()).isEmpty();
        assertThat(network.state()).isEmpty();
        assertThat(network).hasToString("Network[]");
    }

    @Test
    void calls_handComputed_chainRule() {
        Affine affine = new Affine(Matrix.ofRow(2), Matrix.ofRow(1));
        Network network = new Network(affine, new ReLU());

        // 2·1 + 1 = 3, 2·(−3) + 1 = −5
        assertThat(network.forward(Matrix.of(2, 1, 1, -3))).isEqualTo(Matrix.of(2, 1, 3, 0));
        assertThat(network.infer(Matrix.of(2, 1, 1, -3))).isEqualTo(Matrix.of(2, 1, 3, 0));
        // ReLU lets (5, 0) through: dx = 2·5, dw = 1·5 − 3·0, db = 5
        assertThat(network.backward(Matrix.of(2, 1, 5, 7))).isEqualTo(Matrix.of(2, 1, 10, 0));
        assertThat(gradients(network)).containsExactly(Matrix.ofRow(5), Matrix.ofRow(5));
    }

    @Test
    void calls_layersInOrder_sameBitsAsOneByOne() {
        Network network = network(SEED);
        List<Layer> layers = network(SEED).layers();
        Matrix y = X;
        Matrix inferred = X;
        for (Layer layer : layers) {
            y = layer.forward(y);
        }
        for (Layer layer : layers) {
            inferred = layer.infer(inferred);
        }
        Matrix dx = DY;
        for (int i = layers.size() - 1; i >= 0; i--) {
            dx = layers.get(i).backward(dx);
        }

        for (Network each : List.of(network, nested(SEED))) {
            assertThat(each.forward(X)).as("seed %d", SEED).isEqualTo(y);
            assertThat(each.infer(X)).as("seed %d", SEED).isEqualTo(inferred);
            assertThat(each.backward(DY)).as("seed %d", SEED).isEqualTo(dx);
            assertThat(gradients(each))
                    .as("seed %d", SEED)
                    .isEqualTo(
                            layers.stream().flatMap(l -> gradients(l).stream()).toList());
        }
    }

    /** Arrays between layers are used again; nothing that a caller holds may be among them. */
    @Test
    void calls_stepAfterStep_sameBitsAsNewNetworksAndEarlierResultsStay() {
        Network network = network(SEED);
        Map<String, Matrix> state = network.state();
        List<Matrix> held = new ArrayList<>();
        List<Matrix> expected = new ArrayList<>();
        for (int batch : new int[] {4, 4, 7, 2, 4}) {
            Matrix x = Matrices.uniform(batch, X.columns(), SEED + batch);
            Matrix dy = Matrices.uniform(batch, DY.columns(), SEED - batch);
            network.restore(state);
            held.addAll(step(network, x, dy));
            Network fresh = network(SEED);
            expected.addAll(step(fresh, x, dy));
        }
        assertThat(held).as("seed %d", SEED).isEqualTo(expected);
    }

    /** A user's layer may keep what it is given; after any built-in layer and before any. */
    @Test
    void calls_usersLayersBetween_whatTheyHaveSeenStays() {
        List<Matrix> seen = new ArrayList<>();
        List<Matrix> copies = new ArrayList<>();
        Consumer<Matrix> see = matrix -> {
            seen.add(matrix);
            copies.add(Matrix.of(matrix.rows(), matrix.columns(), matrix.toArray()));
        };
        UnaryOperator<Matrix> keep = matrix -> {
            see.accept(matrix);
            return matrix;
        };
        UnaryOperator<Matrix> copied = matrix -> keep.apply(matrix).times(1);
        Network network = new Network(
                batchNorm(3, SEED),
                affine(3, 3, SEED + 1),
                new Custom(keep, copied),
                affine(3, 3, SEED + 2),
                batchNorm(3, SEED + 3),
                new Custom(keep, copied),
                batchNorm(3, SEED + 4),
                new ReLU(),
                new Custom(keep, copied),
                batchNorm(3, SEED + 5),
                new Custom(copied, keep),
                new ReLU(),
                new Custom(copied, keep));
        for (int step = 0; step < 3; step++) {
            see.accept(network.forward(Matrices.uniform(4, 3, SEED + 10 + step)));
            see.accept(network.backward(Matrices.uniform(4, 3, SEED + 20 + step)));
        }
        assertThat(seen).hasSize(3 * (2 * 5 + 2)).as("seed %d", SEED).isEqualTo(copies);
    }

    /** Behind a ReLU the gradient is masked in place only where nobody but the network sees it. */
    @Test
    void backward_gradientOfTheCallerReachesTheRelu_leavesItUnchanged() {
        Layer passingOn = new Layer() {
            @Override
            public Matrix forward(Matrix x) {
                return x;
            }

            @Override
            public Matrix backward(Matrix dy) {
                return dy;
            }

            @Override
            public Matrix infer(Matrix x) {
                return x;
            }
        };
        for (Layer last : List.of(passingOn, new Network(), new Network(passingOn))) {
            Network network = new Network(new BatchNorm(X.columns()), new ReLU(), last);
            Network withoutLast = new Network(new BatchNorm(X.columns()), new ReLU());
            Matrix dy = Matrix.filled(X.rows(), X.columns(), 3);

            network.forward(X);
            withoutLast.forward(X);

            assertThat(network.backward(dy)).as("%s", network).isEqualTo(withoutLast.backward(dy));
            assertThat(dy).as("%s", network).isEqualTo(Matrix.filled(X.rows(), X.columns(), 3));
        }
    }

    private static List<Matrix> step(Network network, Matrix x, Matrix dy) {
        List<Matrix> results = new ArrayList<>();
        results.add(network.forward(x));
        results.add(network.backward(dy));
        results.addAll(gradients(network));
        results.add(network.backward(dy)); // once more, from what the layers remember
        results.add(network.infer(x));
        results.addAll(network.state().values());
        return results;
    }

    /** What a layer of the user's does not keep is free once the pass is done. */
    @Test
    void forward_usersLayers_keepsNothingOfTheirs() {
        List<WeakReference<Matrix>> results = new ArrayList<>();
        UnaryOperator<Matrix> doubled = x -> {
            Matrix y = x.times(2);
            results.add(new WeakReference<>(y));
            return y;
        };
        Network network = new Network(new Custom(doubled, dy -> dy), new Custom(doubled, dy -> dy));
        network.forward(X);

        assertThat(results).hasSize(2);
        Waiting.until(() -> {
            System.gc();
            return results.stream().allMatch(result -> result.get() == null);
        });
        assertThat(network.backward(X)).isEqualTo(X);
    }

    /** A layer's own pass refers to arrays of the network, until the network writes them again. */
    @Test
    void forward_laterLayerRefuses_noLayerKeepsAPassOfOldArrays() {
        BatchNorm refusing = new BatchNorm(2);
        ReLU last = new ReLU();
        Network identity = new Network();
        Network network = new Network(affine(3, 2, SEED), refusing, new Scale(Matrix.ofRow(1, 1)), last, identity);
        network.forward(X);
        Matrix nan = X.map(entry -> Double.NaN);

        assertThatIllegalArgumentException().isThrownBy(() -> network.forward(nan));
        LayerTest.assertNoPass(refusing, Matrix.zeros(4, 2));
        LayerTest.assertNoPass(last, Matrix.zeros(4, 2));
        LayerTest.assertNoPass(identity, Matrix.zeros(4, 2));
        LayerTest.assertNoPass(network, Matrix.zeros(4, 2));
    }

    @ParameterizedTest
    @CsvSource({"2, 101", "3, 102", "7, 103", "32, 104"})
    void backward_uniformBatch_agreesWithDifferences(int batch, long seed) {
        Matrix x = Matrices.uniform(batch, 3, seed + 10);
        Matrix target = Matrices.uniform(batch, 2, seed + 11);

        Gradients.assertAgreeWithDifferences("seed " + seed, network(seed), x, target);
        Gradients.assertAgreeWithDifferences("nested, seed " + seed, nested(seed), x, target);
    }

    @Test
    void calls_smallShapes_resultsHaveTheirShapes() {
        for (int batch = 0; batch <= 5; batch++) {
            for (int width = 0; width <= 3; width++) {
                List<Layer> layers = new ArrayList<>(List.of(affine(2, width, 1), new ReLU(), affine(width, 3, 2)));
                if (batch >= 2) {
                    layers.add(1, new BatchNorm(width));
                }
                Network network = new Network(layers.toArray(Layer[]::new));

                Matrix y = network.forward(Matrix.zeros(batch, 2));

                assertThat(List.of(y.rows(), y.columns())).containsExactly(batch, 3);
                assertThat(network.infer(Matrix.zeros(batch, 2)).rows()).isEqualTo(batch);
                assertThat(network.backward(Matrix.zeros(batch, 3)).map(Math::abs))
                        .isEqualTo(Matrix.zeros(batch, 2));
                for (Parameter parameter : network.parameters()) {
                    assertThat(parameter.gradient().map(Math::abs))
                            .isEqualTo(parameter.value().times(0).map(Math::abs));
                }
            }
        }
    }

    @Test
    void backwardParameters_batchNormWithReluFirst_gradientsOfBackward() {
        BatchNorm first = batchNorm(3, SEED);
        Network network = new Network(first, new ReLU(), affine(3, 2, SEED));
        network.forward(X);
        network.backward(DY);
        List<Matrix> gradients = List.of(first.gamma().gradient(), first.beta().gradient());
        first.parameters().forEach(parameter -> parameter.setGradient(Matrix.zeros(1, 3)));

        network.backwardParameters(DY);

        assertThat(List.of(first.gamma().gradient(), first.beta().gradient()))
                .as("seed %d", SEED)
                .isEqualTo(gradients);
    }

    @Test
    void backwardParameters_firstLayer_isSparedItsDx() {
        AtomicInteger calls = new AtomicInteger();
        UnaryOperator<Matrix> unneeded = dy -> {
            throw new AssertionError("dx of the first layer");
        };
        Layer first = new Custom(x -> x, unneeded) {
            @Override
            public void backwardParameters(Matrix dy) {
                assertThat(dy).isEqualTo(X.times(2));
                calls.incrementAndGet();
            }
        };
        Network network = new Network(new Network(first), new Custom(x -> x, dy -> dy.times(2)));
        network.forward(X);

        network.backwardParameters(X);

        assertThat(calls).hasValue(1);
    }

    @Test
    void state_nestedNetworks_namesHaveTheLayersNumbers() {
        Affine affine = affine(3, 2, SEED);
        BatchNorm batchNorm = batchNorm(2, SEED);
        Scale scale = new Scale(Matrix.ofRow(3, 4));
        Network network = new Network(new ReLU(), affine, new Network(batchNorm, new Network(scale)));

        assertThat(network.state().keySet())
                .containsExactly(
                        "1.weight",
                        "1.bias",
                        "2.0.gamma",
                        "2.0.beta",
                        "2.0.runningMean",
                        "2.0.runningVariance",
                        "2.1.0.factor");
        assertThat(network.state())
                .containsEntry("1.bias", affine.bias().value())
                .containsEntry("2.1.0.factor", Matrix.ofRow(3, 4));
        assertThat(network.parameters())
                .containsExactly(affine.weight(), affine.bias(), batchNorm.gamma(), batchNorm.beta(), scale.factor());
    }

    @Test
    void layers_arrayChangedLater_stayAsGiven() {
        Layer[] layers = {affine(3, 2, SEED), new BatchNorm(2), new ReLU()};
        List<Layer> given = List.of(layers);

        Network network = new Network(layers);
        Arrays.fill(layers, null);

        assertThat(network.layers()).isEqualTo(given).isUnmodifiable();
        assertThat(network).hasToString("Network[Affine 3→2, BatchNorm 2, ReLU]");
    }

    @Test
    void new_equalButDistinctLayers_accepted() {
        Bare one = new Bare(List.of());
        Bare other = new Bare(List.of());
        assertThat(one).isEqualTo(other);

        assertThat(new Network(one, new Network(other)).forward(X)).isEqualTo(X);
    }

    static List<Refusal> refusals() {
        ReLU relu = new ReLU();
        Affine affine = affine(3, 2, 1);
        Network network = new Network();
        Parameter shared = new Parameter("factor", Matrix.ofRow(1));
        Matrix nan = Matrix.generate(4, 3, (i, j) -> i == 2 ? Double.NaN : 1);
        Matrix wide = Matrix.zeros(4, 5);
        String inputs = " (the layer has 3 inputs)";
        return List.of(
                new Refusal("Network.new: layers is null, expected a value", layer -> new Network((Layer[]) null)),
                new Refusal("Network.new: layer 1 is null, expected a value", layer -> new Network(relu, null)),
                duplicate("layer 2 (ReLU)", relu, affine, relu),
                duplicate("layer 1 (Network): layer 1 (ReLU)", relu, new Network(affine, relu)),
                duplicate("layer 1 (Affine)", new Network(new Network(affine)), affine),
                duplicate("layer 1 (Network)", network, network),
                duplicate("parameter factor of layer 1 (Scale)", new Scale(shared), new Scale(shared)),
                duplicate(
                        "layer 1 (Network): parameter factor of layer 0 (Scale)",
                        new Scale(shared),
                        new Network(new Scale(shared))),
                new Refusal("Network.forward: layer 0 (Affine): x is 4x5, expected Nx3" + inputs, l -> l.forward(wide)),
                new Refusal("Network.infer: layer 0 (Affine): x is 4x5, expected Nx3" + inputs, l -> l.infer(wide)),
                new Refusal(
                        "Network.forward: layer 1 (BatchNorm): x has 1 row, expected at least 2"
                                + " because one row has no variance; use infer for single rows",
                        l -> l.forward(X.row(0))),
                new Refusal(
                        "Network.forward: layer 1 (BatchNorm): x has 0 rows, expected at least 2",
                        l -> l.forward(Matrix.zeros(0, 3))),
                new Refusal(
                        "Network.forward: layer 1 (BatchNorm): x[2,0] is NaN, expected a finite number",
                        l -> l.forward(nan)),
                new Refusal(
                        "Network.restore: 0.bias is 4x5, expected 1x16; 1.gamma is missing, expected 1x16;"
                                + " 0.c is unexpected",
                        l -> l.restore(with(with(with(l.state(), "0.c", X), "1.gamma", null), "0.bias", wide))));
    }

    @Test
    void construct_usersLayerWithoutState_refused() {
        Layer layer = new LayerTest.Bare(List.of(new Parameter("a", X), new Parameter("a", X)));

        assertThatIllegalStateException()
                .isThrownBy(() -> new Network(new ReLU(), new Network(layer)))
                .withMessage("Bare.state: two parameters have the name a, expected one;"
                        + " a layer made of layers must delegate state and restore to them");
    }

    private static Refusal duplicate(String what, Layer... layers) {
        return new Refusal("Network.new: " + what + " occurs twice, expected once", layer -> new Network(layers));
    }

    @ParameterizedTest
    @MethodSource("refusals")
    void call_badArgument_refusedAndNothingChanged(Refusal refusal) {
        refusal.assertRefused(network(SEED), X);
    }

    /** Layers that do not fit each other. */
    static List<Arguments> misfits() {
        return List.of(
                misfit(
                        "layer 3 (BatchNorm): x is Nx100, expected Nx64",
                        batchNorm(3, 1),
                        affine(3, 100, 2),
                        new ReLU(),
                        new BatchNorm(64)),
                misfit(
                        "layer 1 (Network): layer 0 (Affine): x is Nx2, expected Nx4 (the layer has 4 inputs)",
                        batchNorm(2, 3),
                        new Network(affine(4, 1, 5))),
                misfit(
                        "layer 2 (Affine): x is Nx2, expected Nx3 (the layer has 3 inputs)",
                        batchNorm(3, 6),
                        new Network(affine(3, 2, 7), new Network()),
                        affine(3, 3, 8)),
                misfit(
                        "layer 2 (BatchNorm): x is Nx4, expected Nx9",
                        new Custom(x -> x, dy -> dy),
                        affine(3, 4, 9),
                        new BatchNorm(9)));
    }

    private static Arguments misfit(String message, Layer... layers) {
        return arguments(message, layers);
    }

    @ParameterizedTest
    @MethodSource("misfits")
    void new_layersDoNotFit_refused(String message, Layer[] layers) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new Network(layers))
                .withMessage("Network.new: " + message);
    }

    @Test
    void new_columnsBetweenUnknown_accepted() {
        assertThat(new Network(affine(3, 4, 1), new Custom(x -> x, dy -> dy), new ReLU(), affine(5, 2, 2)).layers())
                .hasSize(4);
    }

    @Test
    void forwardAndInfer_batchDoesNotFit_refusedBeforeAnythingRuns() {
        ReLU first = new ReLU();
        Network network = new Network(first, new Network(new ReLU(), affine(4, 2, 5)));
        Matrix dx = backwardOfOnes(first);
        String message = ": layer 1 (Network): layer 1 (Affine): x is 4x3, expected Nx4 (the layer has 4 inputs)";

        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.forward(X))
                .withMessage("Network.forward" + message);
        assertThatIllegalArgumentException().isThrownBy(() -> network.infer(X)).withMessage("Network.infer" + message);
        assertThat(first.backward(Matrix.filled(4, 3, 1))).isEqualTo(dx);
        LayerTest.assertNoPass(network, X);
    }

    private static Matrix backwardOfOnes(Layer layer) {
        layer.forward(X);
        return layer.backward(Matrix.filled(4, 3, 1));
    }

    @Test
    void forwardAndInfer_resultTooLarge_refusedBeforeAnythingRuns() {
        BatchNorm first = new BatchNorm(1);
        Network network = new Network(first, affine(1, 2_000, SEED));
        Matrix x = Matrix.filled(1_100_000, 1, 3.0);
        String message = ": layer 1 (Affine): size is 1100000x2000 = 2200000000, expected at most 2147482624 entries";

        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.forward(x))
                .withMessage("Network.forward" + message);
        assertThatIllegalArgumentException().isThrownBy(() -> network.infer(x)).withMessage("Network.infer" + message);
        assertThat(first.runningMean()).isEqualTo(Matrix.zeros(1, 1));
        LayerTest.assertNoPass(network, x);
    }

    static List<Arguments> outputMisfits() {
        return List.of(
                arguments(new Custom(Matrix::transpose, dy -> dy), "layer 1 (Custom): y is 3x4, expected 4xN"),
                arguments(
                        new Custom(x -> Matrix.zeros(4, 5), dy -> dy),
                        "layer 2 (Affine): x is 4x5, expected Nx3 (the layer has 3 inputs)"));
    }

    @ParameterizedTest
    @MethodSource("outputMisfits")
    void forward_usersLayerGivesMisfit_refusedWhenItsTurnComes(Layer misfit, String message) {
        BatchNorm first = batchNorm(3, SEED);
        Network network = new Network(first, misfit, affine(3, 2, SEED));

        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.forward(X))
                .withMessage("Network.forward: " + message);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.infer(X))
                .withMessage("Network.infer: " + message);
        assertThat(first.runningMean()).isNotEqualTo(Matrix.zeros(1, 3)); // it has taken the batch in
        LayerTest.assertNoPass(network, X);
    }

    @Test
    void forward_usersLayerGivesMisfitToBatchNormWithRelu_refusedBeforeItsArrayIsMade() {
        Network network = new Network(new Custom(x -> x, dy -> dy), new BatchNorm(3_000), new ReLU(), new ReLU());
        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.forward(Matrix.zeros(1_100_000, 0)))
                .withMessage("Network.forward: layer 1 (BatchNorm): x is 1100000x0, expected Nx3000");
    }

    @ParameterizedTest
    @CsvSource({"0, 3, 4", "1, 3, 4", "0, 5, 3", "1, 5, 3", "0, 4, 2", "1, 4, 2"})
    void backward_usersLayerGivesMisfit_namedInRefusal(int place, int rows, int columns) {
        Layer misfit = new Custom(x -> x, dy -> Matrix.zeros(rows, columns));
        Network network = place == 0 ? new Network(misfit) : new Network(new ReLU(), misfit);
        network.forward(X);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.backward(X))
                .withMessage("Network.backward: layer " + place + " (Custom): dx is " + rows + "x" + columns
                        + ", expected 4x3");
    }

    /** {@code y = x + f(x)}, a user's layer that has the parameters and the state of a network. */
    private static final class Residual implements Layer {
        private final Network f = new Network(affine(3, 5, SEED), batchNorm(5, SEED), affine(5, 3, SEED + 1));

        @Override
        public Matrix forward(Matrix x) {
            return x.plus(f.forward(x));
        }

        @Override
        public Matrix backward(Matrix dy) {
            return dy.plus(f.backward(dy));
        }

        @Override
        public Matrix infer(Matrix x) {
            return x.plus(f.infer(x));
        }

        @Override
        public List<Parameter> parameters() {
            return f.parameters();
        }

        @Override
        public Map<String, Matrix> state() {
            return f.state();
        }

        @Override
        public void restore(Map<String, Matrix> state) {
            f.restore(state);
        }
    }

    @Test
    void usersLayerOfLayers_parametersOfOneName_trainsAndIsRestored() {
        Network network = new Network(new Residual(), affine(3, 2, SEED));
        Map<String, Matrix> initial = network.state();
        Matrix y = network.infer(X);

        double error = GradientCheck.run(network, X, out -> out.hadamard(DY).sum(), out -> DY)
                .worstError();
        network.forward(X);
        network.backward(DY);
        Optimizer.sgd(0.1).step(network.parameters());

        assertThat(error).isLessThan(1e-5);
        assertThat(initial.keySet())
                .contains("0.0.weight", "0.2.weight", "1.weight")
                .hasSize(10);
        assertThat(network.state().values()).doesNotContainAnyElementsOf(weights(initial));
        network.restore(initial);
        assertThat(network.infer(X)).isEqualTo(y);
    }

    private static List<Matrix> weights(Map<String, Matrix> state) {
        return state.keySet().stream()
                .filter(name -> name.endsWith("weight"))
                .map(state::get)
                .toList();
    }

    @Test
    void forward_laterLayerRefusesItsValues_earlierLayersHaveTakenTheBatchIn() {
        BatchNorm first = new BatchNorm(3);
        Affine overflowing = new Affine(Matrix.filled(3, 1, Double.MAX_VALUE), Matrix.zeros(1, 1));
        BatchNorm last = new BatchNorm(1);
        Network network = new Network(first, overflowing, last);
        first.beta().setValue(Matrix.filled(1, 3, 10)); // above any −ĥ, so that all entries of y are positive
        last.forward(X.transpose().row(0).transpose());
        Map<String, Matrix> stateOfLast = last.state();

        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.forward(X))
                .withMessage("Network.forward: layer 2 (BatchNorm): x[0,0] is Infinity, expected a finite number");
        assertThat(first.runningMean()).isNotEqualTo(Matrix.zeros(1, 3));
        assertThat(overflowing.backward(Matrix.zeros(4, 1))).isEqualTo(Matrix.zeros(4, 3));
        assertThat(last.state()).isEqualTo(stateOfLast);
        LayerTest.assertNoPass(last, X);
        LayerTest.assertNoPass(network, X);
    }

    @Test
    void forward_overflowInSinglePrecision_refusedWithAHint() {
        Affine large = new Affine(Matrix.filled(3, 1, 1e30), Matrix.zeros(1, 1)).withPrecision(Precision.SINGLE);
        Network network = new Network(large, new BatchNorm(1), new ReLU());

        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.forward(Matrix.filled(2, 3, 1e9)))
                .withMessage("Network.forward: layer 1 (BatchNorm): x[0,0] is Infinity, expected a finite number; the"
                        + " layer before has single precision, where what is beyond 3.4e38 is infinite");
        assertThat(network.forward(Matrix.filled(2, 3, 1))).isEqualTo(Matrix.zeros(2, 1));
    }

    @Test
    void withPrecision_network_isACopyInThatPrecision() {
        Network network = new Network(
                affine(3, 2, 1),
                new BatchNorm(2, 1e-3, 0.3),
                new Network(affine(2, 2, 2).withoutBias(), new ReLU()));
        network.forward(X);
        Network single = network.withPrecision(Precision.SINGLE);

        assertThat(single)
                .hasToString("Network[Affine 3→2 in single precision, BatchNorm 2,"
                        + " Network[Affine 2→2 without bias in single precision, ReLU]]");
        assertThat(single.state()).isEqualTo(network.state());
        BatchNorm norm = (BatchNorm) single.layers().get(1);
        assertThat(List.of(norm.epsilon(), norm.momentum())).containsExactly(1e-3, 0.3);
        Map<String, Matrix> before = network.state();
        single.forward(X);
        assertThat(network.state()).isEqualTo(before);
        Network back = single.withPrecision(Precision.DOUBLE);
        assertThat(back.infer(X)).isNotEqualTo(network.infer(X)); // the running statistics have moved
        back.restore(before);
        assertThat(back.infer(X)).isEqualTo(network.infer(X));
    }

    @Test
    void withPrecision_impossible_refused() {
        Network own = new Network(new ReLU(), new Network(new Scale(Matrix.ofRow(1, 1))));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> own.withPrecision(Precision.SINGLE))
                .withMessage("Network.withPrecision: layer 1 (Network): layer 0 (Scale) is of a user's type, expected"
                        + " Affine, BatchNorm, ReLU or Network, which can be copied; set it for each Affine");
        assertThatNullPointerException()
                .isThrownBy(() -> own.withPrecision(null))
                .withMessage("Network.withPrecision: precision is null, expected a value");
    }

    static List<RuntimeException> foreignExceptions() {
        return List.of(
                new IllegalArgumentException(),
                new NumberFormatException("Custom.forward: a subclass"),
                new IllegalStateException("Custom.forward: another class"),
                new UnsupportedOperationException());
    }

    @ParameterizedTest
    @MethodSource("foreignExceptions")
    void calls_usersLayerThrows_passesUntouched(RuntimeException thrown) {
        UnaryOperator<Matrix> throwing = x -> {
            throw thrown;
        };
        Network network = new Network(new ReLU(), new Network(new Custom(throwing, throwing)));
        Network backward = new Network(new ReLU(), new Network(new Custom(x -> x, throwing)));
        backward.forward(X);

        assertThatThrownBy(() -> network.forward(X)).isSameAs(thrown);
        assertThatThrownBy(() -> network.infer(X)).isSameAs(thrown);
        assertThatThrownBy(() -> backward.backward(X)).isSameAs(thrown);
        assertThatThrownBy(() -> backward.backwardParameters(X)).isSameAs(thrown);
    }

    @ParameterizedTest
    @ValueSource(strings = {"in my own words", "Custom.other: x is bad", "Network.forward: layer 0 (ReLU): x is bad"})
    void calls_usersLayerRefusesInItsOwnWords_toldWithItsPlace(String words) {
        IllegalArgumentException refusal = new IllegalArgumentException(words);
        UnaryOperator<Matrix> refusing = x -> {
            throw refusal;
        };
        Network network = new Network(new ReLU(), new Network(new Custom(refusing, refusing)));
        Network backward = new Network(new ReLU(), new Network(new Custom(x -> x, refusing)));
        backward.forward(X);
        String told = ": layer 1 (Network): layer 0 (Custom): " + words;

        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.forward(X))
                .withMessage("Network.forward" + told)
                .havingRootCause()
                .isSameAs(refusal);
        assertThatIllegalArgumentException().isThrownBy(() -> network.infer(X)).withMessage("Network.infer" + told);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> backward.backward(X))
                .withMessage("Network.backward" + told);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> backward.backwardParameters(X))
                .withMessage("Network.backward" + told);
        Network first = new Network(new Custom(x -> x, refusing), new ReLU());
        first.forward(X);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> first.backwardParameters(X))
                .withMessage("Network.backward: layer 0 (Custom): " + words);
    }

    @Test
    void forward_usersLayerRefusesInTheLibrarysForm_toldWithItsPlace() {
        Network network = new Network(new ReLU(), new Network(new Scale(Matrix.ofRow(1, 2))));

        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.forward(X))
                .withMessage("Network.forward: layer 1 (Network): layer 0 (Scale): x has 3 columns, expected 2")
                .havingRootCause()
                .withMessage("Scale.forward: x has 3 columns, expected 2");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void calls_usersLayerReturnsNull_refusedWithItsPlace(int place) {
        Network forward = networkWith(place, new Custom(x -> null, dy -> dy));
        Network backward = networkWith(place, new Custom(x -> x, dy -> null));
        backward.forward(X);
        String layer = "layer " + place + " (Custom): ";

        assertThatNullPointerException()
                .isThrownBy(() -> forward.forward(X))
                .withMessage("Network.forward: " + layer + "y is null, expected a value");
        assertThatNullPointerException()
                .isThrownBy(() -> forward.infer(X))
                .withMessage("Network.infer: " + layer + "y is null, expected a value");
        assertThatNullPointerException()
                .isThrownBy(() -> backward.backward(X))
                .withMessage("Network.backward: " + layer + "dx is null, expected a value");
        LayerTest.assertNoPass(forward, X);
    }

    private static Network networkWith(int place, Layer layer) {
        return place == 0 ? new Network(layer, new ReLU()) : new Network(new ReLU(), layer);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void restore_laterLayerRefusesItsValue_allOrNothing(boolean nested) {
        BatchNorm refusing = batchNorm(2, SEED);
        Layer layer = nested ? new Network(new ReLU(), affine(2, 2, SEED + 5), refusing) : refusing;
        Network network = new Network(affine(3, 2, SEED), layer, affine(2, 2, SEED + 6));
        network.forward(X);
        Matrix dx = network.backward(DY);
        List<Matrix> gradients = gradients(network);
        Map<String, Matrix> state = network.state();
        Map<String, Matrix> other = new HashMap<>(state);
        other.replaceAll((name, value) -> value.times(name.endsWith("Variance") ? -2 : 2));
        double refused =
                other.get(nested ? "1.2.runningVariance" : "1.runningVariance").get(0, 0);

        assertThatIllegalArgumentException()
                .isThrownBy(() -> network.restore(other))
                .withMessage("Network.restore: layer 1 " + (nested ? "(Network): layer 2 (BatchNorm)" : "(BatchNorm)")
                        + ": runningVariance[0,0] is " + refused + ", expected at least 0");
        assertThat(network.state()).as("seed %d", SEED).isEqualTo(state);
        assertThat(gradients(network)).as("seed %d", SEED).isEqualTo(gradients);
        assertThat(network.backward(DY)).as("seed %d", SEED).isEqualTo(dx);
    }

    @Test
    void restore_usersLayerThrows_passesUntouchedAndNothingChanged() {
        RuntimeException thrown = new IllegalStateException("in my own words");
        Layer throwing = new Custom(x -> x, dy -> dy) {
            @Override
            public void restore(Map<String, Matrix> state) {
                throw thrown;
            }
        };
        Network network = new Network(affine(3, 2, SEED), throwing, affine(2, 2, SEED + 1));
        Map<String, Matrix> state = network.state();
        Map<String, Matrix> other = new HashMap<>(state);
        other.replaceAll((name, value) -> value.times(2));

        assertThatThrownBy(() -> network.restore(other)).isSameAs(thrown);
        assertThat(network.state()).isEqualTo(state);
    }

    /** It cannot take the old state back either, so the network is torn: the first refusal says why, with the other. */
    @Test
    void restore_refusesTheOldStateToo_bothAreTold() {
        List<RuntimeException> thrown = new ArrayList<>();
        Layer throwing = new Custom(x -> x, dy -> dy) {
            @Override
            public void restore(Map<String, Matrix> state) {
                thrown.add(new IllegalStateException("refusal " + thrown.size()));
                throw thrown.get(thrown.size() - 1);
            }
        };
        Network network = new Network(throwing);
        assertThatThrownBy(() -> network.restore(network.state()))
                .hasMessage("refusal 0")
                .satisfies(refusal -> assertThat(refusal.getSuppressed()).containsExactly(thrown.get(1)));
    }

    /** It has no simple name. */
    @Test
    void forward_anonymousLayer_namedByItsClass() {
        Layer anonymous = new Custom(x -> null, dy -> dy) {};
        assertThatThrownBy(() -> new Network(anonymous).forward(X))
                .hasMessage("Network.forward: layer 0 (" + anonymous.getClass().getName()
                        + "): y is null, expected a value");
    }

    /** What runs another forward of layer 0 (Affine), a refused one too, or of layer 1 (Network) or one inside it. */
    static List<Arguments> overtakings() {
        return List.of(
                overtaking("layer 0 (Affine)", n -> layer(n, 0).forward(X)),
                overtaking("layer 0 (Affine)", n -> new Network(layer(n, 0), new ReLU()).forward(X)),
                overtaking("layer 0 (Affine)", n -> new Network(new Network(layer(n, 0))).forward(X)),
                overtaking(
                        "layer 0 (Affine)",
                        n -> assertThatThrownBy(() -> layer(n, 0).forward(DY))),
                overtaking("layer 1 (Network)", n -> layer(n, 1).forward(DY)),
                overtaking(
                        "layer 1 (Network): layer 0 (BatchNorm)",
                        n -> layer((Network) layer(n, 1), 0).forward(DY)),
                overtaking(
                        "layer 1 (Network): layer 1 (ReLU)",
                        n -> new Network(layer((Network) layer(n, 1), 1)).forward(X)));
    }

    private static Arguments overtaking(String layer, Consumer<Network> forward) {
        return arguments(layer, forward);
    }

    private static Layer layer(Network network, int index) {
        return network.layers().get(index);
    }

    @ParameterizedTest
    @MethodSource("overtakings")
    void backward_layerHasRunAnotherForward_refusedUntilTheNextOne(String layer, Consumer<Network> otherForward) {
        Network network =
                new Network(affine(3, 2, SEED), new Network(batchNorm(2, SEED), new ReLU()), affine(2, 2, SEED + 1));
        network.forward(X);
        Matrix dx = network.backward(DY);
        List<Matrix> gradients = gradients(network);

        otherForward.accept(network);

        List<Consumer<Matrix>> calls = List.of(network::backward, network::backwardParameters);
        for (Consumer<Matrix> call : calls) {
            assertThatIllegalStateException()
                    .isThrownBy(() -> call.accept(DY.times(2)))
                    .withMessage("Network.backward: " + layer
                            + " has run another forward since the network's;"
                            + " call the network's forward(x) before backward(dy)");
        }
        assertThat(gradients(network)).as("seed %d", SEED).isEqualTo(gradients);
        network.forward(X);
        assertThat(network.backward(DY)).as("seed %d", SEED).isEqualTo(dx);
    }

    @Test
    void backward_usersLayerRunsAnotherLayerAgain_refused() {
        Affine affine = affine(3, 3, SEED);
        BatchNorm norm = batchNorm(3, SEED);
        ReLU relu = new ReLU();
        for (Layer twice : List.of(affine, norm, relu)) {
            Custom inForward = new Custom(twice::forward, dy -> dy);
            Custom inBackward = new Custom(x -> x, dy -> twice.backward(twice.forward(dy)));
            for (Custom again : List.of(inForward, inBackward)) {
                Network network = new Network(affine, norm, relu, again);
                network.forward(X);

                assertThatIllegalStateException()
                        .isThrownBy(() -> network.backward(X))
                        .withMessageContaining(" has run another forward since the network's;");
            }
        }
    }

    @Test
    void training_usersLayerWithParameter_lossFalls() {
        Scale scale = new Scale(Matrix.filled(1, 8, 1));
        Network network = new Network(affine(3, 8, SEED), new BatchNorm(8), scale, new ReLU(), affine(8, 2, SEED + 1));
        Matrix x = Matrices.uniform(32, 3, SEED + 2);
        Matrix target = x.map(Math::abs).times(Matrices.uniform(3, 2, SEED + 3));
        double first = squares(network.forward(x).minus(target));

        for (int step = 0; step < 50; step++) {
            network.backwardParameters(network.forward(x).minus(target));
            network.parameters().forEach(p -> p.setValue(p.value().plusScaled(-0.01, p.gradient())));
        }

        assertThat(squares(network.forward(x).minus(target)))
                .as("seed %d", SEED)
                .isLessThan(first / 4);
        assertThat(scale.factor().value()).as("seed %d", SEED).isNotEqualTo(Matrix.filled(1, 8, 1));
    }

    private static double squares(Matrix error) {
        return error.hadamard(error).sum();
    }

    /** Each thread infers an x of its own, so that anything that the threads share shows in a result. */
    @Test
    @Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void infer_severalThreads_leaveTrainingItsBitsAndAgreeWhenItPauses() throws Exception {
        Network network = nested(SEED);
        int threads = 3;
        CountDownLatch started = new CountDownLatch(threads);
        AtomicBoolean trained = new AtomicBoolean();
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try {
            List<Future<Set<Matrix>>> results = new ArrayList<>();
            for (int i = 0; i < threads; i++) {
                Matrix x = Matrices.uniform(4, 3, SEED + i);
                results.add(pool.submit(() -> {
                    started.countDown();
                    Waiting.until(() -> {
                        network.infer(x);
                        return trained.get();
                    });
                    Set<Matrix> distinct = new HashSet<>();
                    for (int call = 0; call < 5000; call++) {
                        distinct.add(network.infer(x));
                    }
                    return distinct;
                }));
            }
            started.await();
            train(network);
            trained.set(true);
            for (int i = 0; i < threads; i++) {
                Matrix expected = network.infer(Matrices.uniform(4, 3, SEED + i));
                assertThat(results.get(i).get()).as("seed %d", SEED + i).containsExactly(expected);
            }
        } finally {
            trained.set(true);
            pool.shutdown();
        }

        Network alone = nested(SEED);
        train(alone);
        assertThat(network.state()).as("seed %d", SEED).isEqualTo(alone.state());
    }

    private static void train(Network network) {
        for (int step = 0; step < 2000; step++) {
            network.forward(X);
            network.backward(DY);
            network.parameters().forEach(p -> p.setValue(p.value().plusScaled(-1e-3, p.gradient())));
        }
    }
}
