package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.EnumSource.Mode.EXCLUDE;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What every layer keeps, built in or a user's, and the default methods. */
final class LayerTest {
    private static final long SEED = 11;
    private static final int BATCH = 4;
    private static final Matrix X = Matrices.uniform(BATCH, 3, SEED);
    private static final Matrix OTHER_X = Matrices.uniform(BATCH, 3, SEED + 1);

    /** Layers that take 3 columns, new ones with the same parameters at each {@link #make}. */
    private enum Kind {
        AFFINE,
        BATCH_NORM,
        RELU,
        EMPTY_NETWORK,
        NETWORK,
        NESTED_NETWORK,
        NETWORK_WITH_SCALE,
        SCALE;

        Layer make() {
            return switch (this) {
                case AFFINE -> affine(2, 1);
                case BATCH_NORM -> batchNorm(3, 2);
                case RELU -> new ReLU();
                case EMPTY_NETWORK -> new Network();
                case NETWORK ->
                    new Network(
                            affine(5, 3), batchNorm(5, 4), new ReLU(), new Affine(uniform(5, 2, 5), uniform(1, 2, 6)));
                case NESTED_NETWORK ->
                    new Network(new Network(), new Network(batchNorm(3, 7), new Network(affine(2, 8), new ReLU())));
                case NETWORK_WITH_SCALE -> new Network(scale(3, 9), affine(2, 10), new Network(scale(2, 11)));
                case SCALE -> scale(3, 12);
            };
        }

        /** The layer after a forward pass of {@link #X}. */
        Layer makeAndForward() {
            Layer layer = make();
            layer.forward(X);
            return layer;
        }

        /** A gradient of the shape of y. */
        Matrix dy(long seed) {
            Matrix y = make().forward(X);
            return uniform(y.rows(), y.columns(), seed);
        }

        @Override
        public String toString() {
            return name() + " (seed " + SEED + ")";
        }

        private static Matrix uniform(int rows, int columns, long seed) {
            return Matrices.uniform(rows, columns, SEED + seed);
        }

        private static Affine affine(int outputs, long seed) {
            return new Affine(uniform(3, outputs, seed), uniform(1, outputs, seed + 100));
        }

        private static Scale scale(int features, long seed) {
            return new Scale(uniform(1, features, seed));
        }

        private static BatchNorm batchNorm(int features, long seed) {
            BatchNorm layer = new BatchNorm(features);
            layer.gamma().setValue(uniform(1, features, seed));
            layer.beta().setValue(uniform(1, features, seed + 100));
            layer.setRunningStatistics(
                    uniform(1, features, seed + 200),
                    uniform(1, features, seed + 300).map(Math::abs));
            return layer;
        }
    }

    /** A call that is refused, and the message of the exception. A call that needs no layer ignores it. */
    record Refusal(String message, Consumer<Layer> call) {
        /**
         * Asserts the message and the exact class of the exception: NullPointerException for null, and otherwise
         * IllegalArgumentException. State and gradients stay as they were. A refused forward removes the pass that the
         * layer remembers; any other refused call leaves it.
         */
        void assertRefused(Layer layer, Matrix x) {
            Matrix dy = layer.forward(x).map(value -> 2 * value + 1);
            Matrix dx = layer.backward(dy);
            Map<String, Matrix> state = layer.state();
            List<Matrix> gradients = gradients(layer);

            assertThatThrownBy(() -> call.accept(layer))
                    .isExactlyInstanceOf(
                            message.endsWith("is null, expected a value")
                                    ? NullPointerException.class
                                    : IllegalArgumentException.class)
                    .hasMessage(message);
            assertThat(layer.state()).as(message).isEqualTo(state);
            assertThat(gradients(layer)).as(message).isEqualTo(gradients);
            if (message.contains(".forward: ")) {
                assertNoPass(layer, dy);
            } else {
                assertThat(layer.backward(dy)).as(message).isEqualTo(dx);
            }
        }

        @Override
        public String toString() {
            return message;
        }
    }

    /** Asserts that both forms of backward are refused for want of a forward pass. */
    static void assertNoPass(Layer layer, Matrix dy) {
        List<Consumer<Matrix>> calls = List.of(layer::backward, layer::backwardParameters);
        for (Consumer<Matrix> call : calls) {
            assertThatIllegalStateException()
                    .isThrownBy(() -> call.accept(dy))
                    .withMessage(layer.getClass().getSimpleName()
                            + ".backward: no forward pass to differentiate; call forward(x) before backward(dy)");
        }
    }

    static List<Matrix> gradients(Layer layer) {
        return layer.parameters().stream().map(Parameter::gradient).toList();
    }

    /** A state with one more name, or another value for a name. */
    static Map<String, Matrix> with(Map<String, Matrix> state, String name, Matrix value) {
        Map<String, Matrix> changed = new HashMap<>(state);
        changed.put(name, value);
        return changed;
    }

    static Matrix copy(Matrix matrix) {
        return Matrix.of(matrix.rows(), matrix.columns(), matrix.toArray());
    }

    @ParameterizedTest
    @EnumSource
    void calls_anyArgument_leaveItUnchanged(Kind kind) {
        Matrix x = copy(X);
        Matrix dy = kind.dy(21);
        Matrix dyBefore = copy(dy);
        Layer layer = kind.make();
        Map<String, Matrix> state = new HashMap<>(layer.state());
        Map<String, Matrix> stateBefore = new HashMap<>(state);

        layer.forward(x);
        layer.infer(x);
        layer.backward(dy);
        layer.backwardParameters(dy);
        layer.restore(state);

        assertThat(x).as("%s", kind).isEqualTo(X);
        assertThat(dy).as("%s", kind).isEqualTo(dyBefore);
        assertThat(state).as("%s", kind).isEqualTo(stateBefore);
    }

    @ParameterizedTest
    @EnumSource
    void results_laterCalls_leaveThemUnchanged(Kind kind) {
        Layer layer = kind.make();
        Matrix y = layer.forward(X);
        Matrix dx = layer.backward(kind.dy(22));
        List<Matrix> results = List.of(y, dx, layer.infer(X));
        List<Matrix> gradients = gradients(layer);
        Map<String, Matrix> state = layer.state();
        List<Matrix> resultsBefore = results.stream().map(LayerTest::copy).toList();
        List<Matrix> gradientsBefore = gradients.stream().map(LayerTest::copy).toList();
        Map<String, Matrix> stateBefore = new HashMap<>();
        state.forEach((name, value) -> stateBefore.put(name, copy(value)));

        layer.forward(OTHER_X);
        layer.backward(kind.dy(23));
        layer.infer(OTHER_X);
        layer.forward(OTHER_X.selectRows(2, 0, 1));

        assertThat(results).as("%s", kind).isEqualTo(resultsBefore);
        assertThat(gradients).as("%s", kind).isEqualTo(gradientsBefore);
        assertThat(state).as("%s", kind).isEqualTo(stateBefore);
    }

    @ParameterizedTest
    @EnumSource
    void backward_repeated_sameBitsAndGradientsOverwritten(Kind kind) {
        Layer layer = kind.makeAndForward();
        Matrix dx = layer.backward(kind.dy(24));
        List<Matrix> gradients = gradients(layer);

        Matrix otherDx = layer.backward(kind.dy(25));

        assertThat(otherDx).as("%s", kind).isNotEqualTo(dx);
        assertThat(layer.backward(kind.dy(24))).as("%s", kind).isEqualTo(dx);
        assertThat(gradients(layer)).as("%s", kind).isEqualTo(gradients);
    }

    @ParameterizedTest
    @EnumSource
    void backward_afterSecondForward_differentiatesTheLastPass(Kind kind) {
        Layer layer = kind.make();
        layer.forward(OTHER_X);
        layer.backward(kind.dy(26));
        layer.forward(X);
        Layer expected = kind.makeAndForward();

        assertThat(layer.backward(kind.dy(27))).as("%s", kind).isEqualTo(expected.backward(kind.dy(27)));
        assertThat(gradients(layer)).as("%s", kind).isEqualTo(gradients(expected));
    }

    @ParameterizedTest
    @EnumSource
    void backward_parametersChangedSinceForward_differentiatesForwardsParameters(Kind kind) {
        Matrix dy = kind.dy(28);
        Layer expected = kind.makeAndForward();
        Matrix dx = expected.backward(dy);
        Consumer<Layer> set =
                layer -> layer.parameters().forEach(p -> p.setValue(p.value().times(-3)));
        Consumer<Layer> restore = layer -> {
            Map<String, Matrix> state = new HashMap<>(layer.state());
            state.replaceAll((name, value) -> value.times(3));
            layer.restore(state);
        };

        for (Consumer<Layer> change : List.of(set, restore)) {
            Layer layer = kind.makeAndForward();
            change.accept(layer);

            assertThat(layer.backward(dy)).as("%s", kind).isEqualTo(dx);
            assertThat(gradients(layer)).as("%s", kind).isEqualTo(gradients(expected));
        }
    }

    @ParameterizedTest
    @EnumSource
    void backwardParameters_anyDy_sameBitsAsBackward(Kind kind) {
        Layer layer = kind.makeAndForward();
        Layer expected = kind.makeAndForward();

        layer.backwardParameters(kind.dy(29));
        expected.backward(kind.dy(29));

        assertThat(gradients(layer)).as("%s", kind).isEqualTo(gradients(expected));
    }

    @ParameterizedTest
    @EnumSource(mode = EXCLUDE, names = "SCALE")
    void backward_noForward_refused(Kind kind) {
        assertNoPass(kind.make(), kind.dy(30));
    }

    @ParameterizedTest
    @EnumSource(mode = EXCLUDE, names = "SCALE")
    void builtIn_nullOrWrongGradient_refusedAndNothingChanged(Kind kind) {
        Matrix dy = kind.dy(31);
        String type = kind.make().getClass().getSimpleName();
        String expected = ", expected " + BATCH + "x" + dy.columns();
        List<Refusal> refusals = List.of(
                new Refusal(type + ".forward: x is null, expected a value", layer -> layer.forward(null)),
                new Refusal(type + ".infer: x is null, expected a value", layer -> layer.infer(null)),
                new Refusal(type + ".restore: state is null, expected a value", layer -> layer.restore(null)),
                new Refusal(type + ".backward: dy is null, expected a value", layer -> layer.backward(null)),
                new Refusal(type + ".backward: dy is null, expected a value", layer -> layer.backwardParameters(null)),
                new Refusal(type + ".backward: dy is 4x7" + expected, layer -> layer.backward(Matrix.zeros(4, 7))),
                new Refusal(
                        type + ".backward: dy is 5x" + dy.columns() + expected,
                        layer -> layer.backward(Matrix.zeros(5, dy.columns()))),
                new Refusal(
                        type + ".backward: dy is 4x7" + expected,
                        layer -> layer.backwardParameters(Matrix.zeros(4, 7))));

        for (Refusal refusal : refusals) {
            refusal.assertRefused(kind.make(), X);
        }
    }

    @ParameterizedTest
    @EnumSource
    void infer_betweenForwardAndBackward_changesNothing(Kind kind) {
        Layer expected = kind.makeAndForward();
        Matrix dx = expected.backward(kind.dy(32));
        Layer layer = kind.makeAndForward();
        Map<String, Matrix> state = layer.state();

        Matrix y = layer.infer(OTHER_X);

        assertThat(layer.infer(OTHER_X)).as("%s", kind).isEqualTo(y);
        assertThat(layer.state()).as("%s", kind).isEqualTo(state);
        assertThat(layer.backward(kind.dy(32))).as("%s", kind).isEqualTo(dx);
        assertThat(gradients(layer)).as("%s", kind).isEqualTo(gradients(expected));
    }

    @ParameterizedTest
    @EnumSource
    void infer_rowAlone_sameBitsAsInBatch(Kind kind) {
        Layer layer = kind.make();
        Matrix y = layer.infer(X);

        for (int i = 0; i < BATCH; i++) {
            assertThat(layer.infer(X.row(i))).as("%s, row %d", kind, i).isEqualTo(y.row(i));
        }
    }

    @ParameterizedTest
    @EnumSource
    void infer_rowOfNaN_leavesOtherRowsTheirBits(Kind kind) {
        Layer layer = kind.make();
        Matrix spoiled = Matrix.generate(BATCH, 3, (i, j) -> i == 1 ? Double.NaN : X.get(i, j));

        Matrix y = layer.infer(spoiled);

        assertThat(y.selectRows(0, 2, 3)).as("%s", kind).isEqualTo(layer.infer(X.selectRows(0, 2, 3)));
        assertThat(y.row(1).toArray()).as("%s", kind).containsOnly(Double.NaN);
    }

    @ParameterizedTest
    @EnumSource
    void infer_noRow_givesNoRow(Kind kind) {
        assertThat(kind.make().infer(Matrix.zeros(0, 3)))
                .as("%s", kind)
                .isEqualTo(Matrix.zeros(0, kind.dy(33).columns()));
    }

    @ParameterizedTest
    @EnumSource
    void restore_stateOfTrainedLayer_sameBitsInInferAndState(Kind kind) {
        Layer trained = kind.makeAndForward();
        trained.backward(kind.dy(34));
        trained.parameters().forEach(p -> p.setValue(p.value().plusScaled(-0.1, p.gradient())));
        Layer layer = kind.make();

        layer.restore(trained.state());

        assertThat(layer.state()).as("%s", kind).isEqualTo(trained.state());
        assertThat(layer.state().keySet())
                .as("%s", kind)
                .containsExactlyElementsOf(trained.state().keySet());
        assertThat(layer.infer(OTHER_X)).as("%s", kind).isEqualTo(trained.infer(OTHER_X));
    }

    @ParameterizedTest
    @EnumSource
    void parametersAndState_eachCall_sameObjectsUnmodifiable(Kind kind) {
        Layer layer = kind.make();
        List<Parameter> parameters = layer.parameters();

        layer.forward(X);

        assertThat(layer.parameters()).as("%s", kind).isEqualTo(parameters); // equal as objects
        assertThatThrownBy(() -> layer.state().put("more", X))
                .as("%s", kind)
                .isExactlyInstanceOf(UnsupportedOperationException.class);
    }

    /** A user's identity with the given parameters; layers with equal lists of them are equal. */
    record Bare(List<Parameter> parameters) implements Layer {
        @Override
        public Matrix forward(Matrix x) {
            return x;
        }

        @Override
        public Matrix backward(Matrix dy) {
            parameters.forEach(p -> p.setGradient(p.value().times(dy.sum())));
            return dy;
        }

        @Override
        public Matrix infer(Matrix x) {
            return x;
        }
    }

    /** A user's layer of two functions, which may do what they like; it leaves every default method as it is. */
    static class Custom implements Layer {
        private final UnaryOperator<Matrix> y;
        private final UnaryOperator<Matrix> dx;

        Custom(UnaryOperator<Matrix> y, UnaryOperator<Matrix> dx) {
            this.y = y;
            this.dx = dx;
        }

        @Override
        public Matrix forward(Matrix x) {
            return y.apply(x);
        }

        @Override
        public Matrix infer(Matrix x) {
            return y.apply(x);
        }

        @Override
        public Matrix backward(Matrix dy) {
            return dx.apply(dy);
        }
    }

    private static Bare bare() {
        return new Bare(List.of(
                new Parameter("a", Matrix.ofRow(1, 2)),
                new Parameter("b", Matrix.zeros(2, 2)),
                new Parameter("c", Matrix.ofRow(3))));
    }

    @Test
    void defaults_layerWithoutParameters_haveNone() {
        Layer layer = new Custom(x -> x, dy -> dy);

        layer.restore(Map.of());
        layer.backwardParameters(X);

        assertThat(layer.parameters()).isEmpty();
        assertThat(layer.state()).isEmpty();
    }

    @Test
    void backwardParameters_default_isBackward() {
        Layer layer = bare();

        layer.backwardParameters(Matrix.ofRow(1, 4));

        // dy sums up to 5
        assertThat(gradients(layer)).containsExactly(Matrix.ofRow(5, 10), Matrix.zeros(2, 2), Matrix.ofRow(15));
    }

    @Test
    void state_default_valuesByNameInOrder() {
        Map<String, Matrix> state = bare().state();

        assertThat(state.keySet()).containsExactly("a", "b", "c");
        assertThat(state.values()).containsExactly(Matrix.ofRow(1, 2), Matrix.zeros(2, 2), Matrix.ofRow(3));
    }

    @Test
    void state_twoParametersOfOneName_refused() {
        Layer layer = new Bare(List.of(new Parameter("a", X), new Parameter("b", X), new Parameter("a", X)));

        assertThatIllegalStateException()
                .isThrownBy(layer::state)
                .withMessage("Bare.state: two parameters have the name a, expected one;"
                        + " a layer made of layers must delegate state and restore to them");
    }

    @Test
    void restore_default_setsValuesAndLeavesGradients() {
        Layer layer = bare();
        layer.backward(Matrix.ofRow(1));
        List<Matrix> gradients = gradients(layer);
        Map<String, Matrix> state = Map.of("c", Matrix.ofRow(-3), "b", Matrix.filled(2, 2, 7), "a", Matrix.ofRow(8, 9));

        layer.restore(state);

        assertThat(layer.state()).isEqualTo(state);
        assertThat(gradients(layer)).isEqualTo(gradients);
    }

    static List<Refusal> stateRefusals() {
        Map<String, Matrix> state = bare().state();
        return List.of(
                new Refusal("Bare.restore: state is null, expected a value", layer -> layer.restore(null)),
                new Refusal(
                        "Bare.restore: a is missing, expected 1x2; b is missing, expected 2x2;"
                                + " c is missing, expected 1x1",
                        layer -> layer.restore(Map.of())),
                new Refusal(
                        "Bare.restore: a is 2x1, expected 1x2; b is missing, expected 2x2; d is unexpected",
                        layer -> layer.restore(Map.of("d", X, "c", Matrix.ofRow(9), "a", Matrix.zeros(2, 1)))),
                new Refusal(
                        "Bare.restore: b is 2x1, expected 2x2",
                        layer -> layer.restore(with(state, "b", Matrix.zeros(2, 1)))),
                new Refusal(
                        "Bare.restore: c is missing, expected 1x1",
                        layer -> layer.restore(with(with(state, "a", Matrix.ofRow(7, 7)), "c", null))));
    }

    @ParameterizedTest
    @MethodSource("stateRefusals")
    void restore_wrongState_refusedWithAllFaultsAndNothingChanged(Refusal refusal) {
        refusal.assertRefused(bare(), X);
    }
}
