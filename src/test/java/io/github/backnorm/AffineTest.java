package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import io.github.backnorm.LayerTest.Refusal;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

final class AffineTest {
    /** W = (1 2; 3 4; 5 6), b = (10 20). */
    private static Affine layer() {
        return new Affine(Matrix.of(3, 2, 1, 2, 3, 4, 5, 6), Matrix.ofRow(10, 20));
    }

    @Test
    void forwardAndInfer_handComputed_productPlusBias() {
        Matrix x = Matrix.of(2, 3, 1, 0, -1, 2, 1, 0);
        // 1·1 − 1·5 + 10 = 6    1·2 − 1·6 + 20 = 16
        // 2·1 + 1·3 + 10 = 15   2·2 + 1·4 + 20 = 28
        Matrix y = Matrix.of(2, 2, 6, 16, 15, 28);

        assertThat(layer().forward(x)).isEqualTo(y);
        assertThat(layer().infer(x)).isEqualTo(y);
    }

    @Test
    void backward_handComputed_gradients() {
        Affine layer = layer();
        layer.forward(Matrix.of(2, 3, 1, 0, -1, 2, 1, 0));

        Matrix dx = layer.backward(Matrix.of(2, 2, 1, 1, 0, -1));

        // dX = dY·Wᵀ: rows (1 + 2, 3 + 4, 5 + 6) and −(2, 4, 6)
        assertThat(dx).isEqualTo(Matrix.of(2, 3, 3, 7, 11, -2, -4, -6));
        // dW = Xᵀ·dY: rows 1·(1 1) + 2·(0 −1), 0·(1 1) + 1·(0 −1), −1·(1 1) + 0·(0 −1)
        assertThat(layer.weight().gradient()).isEqualTo(Matrix.of(3, 2, 1, -1, 0, -1, -1, -1));
        assertThat(layer.bias().gradient()).isEqualTo(Matrix.ofRow(1, 0));
    }

    /** dW of an x of 1 and a dy is dy. */
    private static void backward(Affine layer, double... dy) {
        layer.forward(Matrix.ofRow(1, 1, 1));
        layer.backwardParameters(Matrix.ofRow(dy));
    }

    @Test
    void backward_gradientWasRead_staysAsItWas() {
        Affine layer = layer();
        backward(layer, 1, 2);
        Matrix first = layer.weight().gradient();
        backward(layer, 3, 4);
        backward(layer, 5, 6);
        Matrix third = layer.weight().gradient();
        backward(layer, 7, 8);

        assertThat(first).isEqualTo(Matrix.of(3, 2, 1, 2, 1, 2, 1, 2));
        assertThat(third).isEqualTo(Matrix.of(3, 2, 5, 6, 5, 6, 5, 6));
        assertThat(layer.weight().gradient()).isEqualTo(Matrix.of(3, 2, 7, 8, 7, 8, 7, 8));
    }

    @Test
    void backward_gradientWasSetByUser_leavesItAlone() {
        Affine layer = layer();
        Matrix clipped = Matrix.zeros(3, 2);
        layer.weight().setGradient(clipped);
        backward(layer, 1, 2);

        assertThat(clipped).isEqualTo(Matrix.zeros(3, 2));
    }

    @Test
    void backward_gradientNotRead_writesOverIt() {
        Affine layer = layer();
        backward(layer, 1, 2);
        double[] array = layer.weight().ownGradient().data();
        Optimizer.sgd(1).step(List.of(layer.weight(), layer.bias()));
        backward(layer, 3, 4);

        assertThat(layer.weight().gradient().data()).isSameAs(array).containsExactly(3, 4, 3, 4, 3, 4);
        assertThat(layer.weight().value()).isEqualTo(Matrix.of(3, 2, 0, 0, 2, 2, 4, 4));
    }

    @Test
    void forwardAndInfer_nonFiniteEntries_passThroughIeeeArithmetic() {
        Affine layer = new Affine(Matrix.of(2, 1, 0, 1), Matrix.ofRow(0));
        Matrix x = Matrix.of(3, 2, Double.NaN, 1, Double.POSITIVE_INFINITY, 1, 1, Double.NEGATIVE_INFINITY);
        // 0·NaN, 0·∞ and 0·1 − ∞: no term is skipped
        Matrix y = Matrix.of(3, 1, Double.NaN, Double.NaN, Double.NEGATIVE_INFINITY);

        assertThat(layer.forward(x)).isEqualTo(y);
        assertThat(layer.infer(x)).isEqualTo(y);
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1, 1", "2, 3, 4, 2", "3, 4, 4, 3", "7, 1, 3, 4", "32, 6, 5, 5"})
    void backward_uniformInput_agreesWithDifferences(int batch, int inputs, int outputs, long seed) {
        Affine layer = new Affine(Matrices.uniform(inputs, outputs, seed), Matrices.uniform(1, outputs, seed + 100));

        Gradients.assertAgreeWithDifferences(
                "seed " + seed,
                layer,
                Matrices.uniform(batch, inputs, seed + 200),
                Matrices.uniform(batch, outputs, seed + 300));
    }

    @Test
    void calls_smallShapes_resultsHaveTheirShapes() {
        for (int batch = 0; batch <= 3; batch++) {
            for (int inputs = 0; inputs <= 3; inputs++) {
                for (int outputs = 0; outputs <= 3; outputs++) {
                    assertShapes(batch, inputs, outputs);
                }
            }
        }
    }

    private static void assertShapes(int batch, int inputs, int outputs) {
        // All ones: y = inputs + 1, dx = outputs, dW = db = batch, also where that is 0.
        Affine layer = new Affine(Matrix.filled(inputs, outputs, 1), Matrix.filled(1, outputs, 1));
        Matrix x = Matrix.filled(batch, inputs, 1);
        Matrix y = Matrix.filled(batch, outputs, inputs + 1);
        String as = batch + "x" + inputs + " times " + inputs + "x" + outputs;

        assertThat(layer.infer(x)).as(as).isEqualTo(y);
        assertThat(layer.forward(x)).as(as).isEqualTo(y);
        assertThat(layer.backward(Matrix.filled(batch, outputs, 1)))
                .as(as)
                .isEqualTo(Matrix.filled(batch, inputs, outputs));
        assertThat(LayerTest.gradients(layer))
                .as(as)
                .containsExactly(Matrix.filled(inputs, outputs, batch), Matrix.filled(1, outputs, batch));
        assertThat(List.of(layer.inputs(), layer.outputs())).containsExactly(inputs, outputs);
        assertThat(layer).hasToString("Affine " + inputs + "→" + outputs);
    }

    @ParameterizedTest
    @CsvSource({"6, 1", "24, 0.5", "96, 0.25"})
    void new_random_drawsHeUniformRowByRow(int inputs, double bound) {
        long seed = 6;

        Affine layer = new Affine(inputs, 4, new Random(seed));

        // √(6/inputs) is a power of two, so the product with 2·nextDouble() − 1 is exact.
        assertThat(layer.weight().value())
                .as("seed %d", seed)
                .isEqualTo(Matrices.uniform(inputs, 4, seed).times(bound));
        assertThat(layer.bias().value()).isEqualTo(Matrix.zeros(1, 4));
    }

    @Test
    void new_random_drawsNothingButNextDouble() {
        RandomGenerator random = new RandomGenerator() {
            @Override
            public double nextDouble() {
                return 0.75;
            }

            @Override
            public long nextLong() {
                throw new AssertionError("nextLong differs between implementations of what is built on it");
            }
        };

        // √(6/6)·(2·0.75 − 1)
        assertThat(new Affine(6, 2, random).weight().value()).isEqualTo(Matrix.filled(6, 2, 0.5));
    }

    @Test
    void parameters_anyLayer_areWeightAndBias() {
        Affine layer = layer();

        assertThat(layer.parameters()).containsExactly(layer.weight(), layer.bias());
        assertThat(layer.state().keySet()).containsExactly("weight", "bias");
        assertThat(layer.state().values())
                .containsExactly(layer.weight().value(), layer.bias().value());
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "4, 0.5", "16, 0.25"})
    void outputLayer_random_drawsUniformByInputsRowByRow(int inputs, double bound) {
        long seed = 6;

        Affine layer = Affine.outputLayer(inputs, 4, new Random(seed));

        // √(1/inputs) is a power of two, so the product with 2·nextDouble() − 1 is exact.
        assertThat(layer.weight().value())
                .as("seed %d", seed)
                .isEqualTo(Matrices.uniform(inputs, 4, seed).times(bound));
        assertThat(layer.bias().value()).isEqualTo(Matrix.zeros(1, 4));
    }

    @Test
    void withoutBias_anyPass_isThatOfZeroBias() {
        Matrix x = Matrices.uniform(4, 3, 8);
        Matrix dy = Matrices.uniform(4, 2, 9);
        Affine zeroBias = new Affine(layer().weight().value(), Matrix.zeros(1, 2));
        Affine layer = layer().withoutBias();

        assertThat(layer.infer(x)).isEqualTo(zeroBias.infer(x));
        assertThat(layer.forward(x)).isEqualTo(zeroBias.forward(x));
        assertThat(layer.backward(dy)).isEqualTo(zeroBias.backward(dy));
        assertThat(LayerTest.gradients(layer)).containsExactly(zeroBias.weight().gradient());
    }

    @Test
    void withoutBias_parametersAndState_areTheWeightAlone() {
        Affine layer = layer();
        Affine bare = layer.withoutBias();

        assertThat(layer.hasBias()).isTrue();
        assertThat(bare.hasBias()).isFalse();
        assertThat(bare.parameters()).containsExactly(bare.weight()).doesNotContain(layer.weight());
        assertThat(bare.state()).isEqualTo(Map.of("weight", layer.weight().value()));
        assertThat(bare).hasToString("Affine 3→2 without bias");
        assertThatIllegalStateException()
                .isThrownBy(bare::bias)
                .withMessage("Affine.bias: the layer has none; ask hasBias() first");
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4, 5, 30})
    void withPrecisionSingle_anyPass_multipliesRoundedNumbers(int batch) {
        Matrix x = Matrices.uniform(batch, 3, 8);
        Matrix dy = Matrices.uniform(batch, 2, 9);
        Affine layer = layer().withPrecision(Precision.SINGLE);
        Matrix w = layer.weight().value();
        Matrix y = floatChains(x, w).combine(repeated(layer.bias().value(), batch), Double::sum);

        assertThat(layer.infer(x)).isEqualTo(y).isNotEqualTo(layer().infer(x));
        assertThat(layer.forward(x)).isEqualTo(y);
        assertThat(layer.backward(dy)).isEqualTo(floatChains(dy, w.transpose()));
        assertThat(layer.weight().gradient()).isEqualTo(floatChains(x.transpose(), dy));
        assertThat(layer.bias().gradient()).isEqualTo(dy.columnSums());
    }

    private static Matrix repeated(Matrix row, int rows) {
        return Matrix.generate(rows, row.columns(), (i, j) -> row.get(0, j));
    }

    /** A product of at most 1,024 terms. */
    private static Matrix floatChains(Matrix a, Matrix b) {
        return Matrix.generate(a.rows(), b.columns(), (i, j) -> {
            float chain = 0;
            for (int p = 0; p < a.columns(); p++) {
                chain = Math.fma((float) a.get(i, p), (float) b.get(p, j), chain);
            }
            return chain;
        });
    }

    /** No empty chain is added, which would make it +0. */
    @Test
    void inferInSinglePrecision_oneWholeChainOfMinusZero_isMinusZero() {
        int inputs = 1024;
        Matrix w = Matrix.generate(inputs, 1, (i, j) -> i == inputs - 1 ? Float.MIN_VALUE : 0);
        Affine layer = new Affine(w, Matrix.zeros(1, 1)).withoutBias().withPrecision(Precision.SINGLE);

        assertThat(layer.infer(w.transpose().times(-1))).isEqualTo(Matrix.ofRow(-0.0));
    }

    @Test
    void inferInSinglePrecision_weightReplaced_usesTheNewOne() {
        Matrix x = Matrices.uniform(1, 3, 8);
        Affine layer = layer().withPrecision(Precision.SINGLE).withoutBias();
        layer.infer(x);
        layer.weight().setValue(Matrices.uniform(3, 2, 10));

        assertThat(layer.infer(x)).isEqualTo(floatChains(x, layer.weight().value()));
    }

    @Test
    void withPrecision_layer_isIndependentAndSaysWhatItIs() {
        Affine layer = layer();
        Affine single = layer.withPrecision(Precision.SINGLE);
        assertThat(layer.precision()).isEqualTo(Precision.DOUBLE);
        assertThat(single.precision()).isEqualTo(Precision.SINGLE);
        assertThat(single.withoutBias().precision()).isEqualTo(Precision.SINGLE);
        assertThat(single.withPrecision(Precision.DOUBLE)).hasToString("Affine 3→2");
        assertThat(single).hasToString("Affine 3→2 in single precision");
        assertThat(single.withoutBias()).hasToString("Affine 3→2 without bias in single precision");
        assertThat(single.state()).isEqualTo(layer.state());
        assertThat(single.parameters()).doesNotContainAnyElementsOf(layer.parameters());
        assertThat(layer.withoutBias().withPrecision(Precision.SINGLE).hasBias())
                .isFalse();
    }

    static List<Refusal> refusals() {
        Matrix w = Matrix.zeros(3, 2);
        Random random = new Random(7);
        return List.of(
                new Refusal("Affine.new: inputs is -1, expected at least 0", layer -> new Affine(-1, 2, random)),
                new Refusal("Affine.new: outputs is -1, expected at least 0", layer -> new Affine(3, -1, random)),
                new Refusal(
                        "Affine.withPrecision: precision is null, expected a value",
                        layer -> ((Affine) layer).withPrecision(null)),
                new Refusal("Affine.new: random is null, expected a value", layer -> new Affine(3, 2, null)),
                new Refusal(
                        "Affine.outputLayer: inputs is -1, expected at least 0",
                        layer -> Affine.outputLayer(-1, 2, random)),
                new Refusal("Affine.new: weight is null, expected a value", layer -> new Affine(null, w)),
                new Refusal("Affine.new: bias is null, expected a value", layer -> new Affine(w, null)),
                new Refusal(
                        "Affine.new: bias is 1x3, expected 1x2 (the weight is 3x2)",
                        layer -> new Affine(w, w.transpose().row(0))),
                new Refusal("Affine.new: bias is 3x2, expected 1x2 (the weight is 3x2)", layer -> new Affine(w, w)),
                new Refusal(
                        "Affine.forward: x is 3x2, expected Nx3 (the layer has 3 inputs)", layer -> layer.forward(w)),
                new Refusal("Affine.infer: x is 3x2, expected Nx3 (the layer has 3 inputs)", layer -> layer.infer(w)),
                new Refusal(
                        "Affine.restore: weight is 1x2, expected 3x2; bias is missing, expected 1x2; b is unexpected",
                        layer -> layer.restore(Map.of("b", w, "weight", Matrix.ofRow(1, 2)))));
    }

    @ParameterizedTest
    @MethodSource("refusals")
    void call_badArgument_refusedAndNothingChanged(Refusal refusal) {
        refusal.assertRefused(layer(), Matrix.of(2, 3, 1, 0, -1, 2, 1, 0));
    }

    @Test
    void forwardAndInfer_resultLongerThanAnArray_refused() {
        Affine layer = new Affine(0, 1, new Random(7));
        Matrix x = Matrix.zeros(2_147_482_625, 0);
        String reason = ": size is 2147482625x1 = 2147482625, expected at most 2147482624 entries";

        assertThatIllegalArgumentException().isThrownBy(() -> layer.forward(x)).withMessage("Affine.forward" + reason);
        assertThatIllegalArgumentException().isThrownBy(() -> layer.infer(x)).withMessage("Affine.infer" + reason);
    }
}
