package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class ReLUTest {
    /** The derivation's names: a = max(y, 0), and dy for a given da. */
    @ParameterizedTest
    @CsvSource({
        "2, 2, 3, 3",
        "2, 2, -0.0, -0.0",
        "2, 2, NaN, NaN",
        "2, 2, -Infinity, -Infinity",
        "4.9e-324, 4.9e-324, -3, -3",
        "Infinity, Infinity, 3, 3",
        "0.0, 0.0, 3, 0.0",
        "-0.0, 0.0, -3, 0.0",
        "0.0, 0.0, NaN, 0.0",
        "-4.9e-324, 0.0, Infinity, 0.0",
        "-2, 0.0, -3, 0.0",
        "-2, 0.0, NaN, 0.0",
        "-Infinity, 0.0, 3, 0.0",
        "NaN, NaN, 3, NaN",
        "NaN, NaN, 0.0, NaN"
    })
    void calls_everyKindOfEntry_keepTheRules(double y, double a, double da, double dy) {
        ReLU layer = new ReLU();

        // Bits, as Matrix.equals compares: +0.0 is not −0.0.
        assertThat(layer.infer(Matrix.ofRow(y))).isEqualTo(Matrix.ofRow(a));
        assertThat(layer.forward(Matrix.ofRow(y))).isEqualTo(Matrix.ofRow(a));
        assertThat(layer.backward(Matrix.ofRow(da))).isEqualTo(Matrix.ofRow(dy));
    }

    @Test
    void calls_handComputedBatch_entryByEntry() {
        ReLU layer = new ReLU();

        assertThat(layer.forward(Matrix.of(2, 3, 1, -2, 3, -4, 5, -6))).isEqualTo(Matrix.of(2, 3, 1, 0, 3, 0, 5, 0));
        assertThat(layer.backward(Matrix.of(2, 3, 7, 8, 9, 10, 11, 12))).isEqualTo(Matrix.of(2, 3, 7, 0, 9, 0, 11, 0));
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "2, 3, 2", "3, 4, 3", "7, 5, 4", "32, 3, 5"})
    void backward_uniformInput_agreesWithDifferences(int batch, int features, long seed) {
        Gradients.assertAgreeWithDifferences(
                "seed " + seed,
                new ReLU(),
                Matrices.uniform(batch, features, seed),
                Matrices.uniform(batch, features, seed + 100));
    }

    @Test
    void calls_smallShapes_resultsHaveTheirShapes() {
        for (int batch = 0; batch <= 3; batch++) {
            for (int features = 0; features <= 3; features++) {
                ReLU layer = new ReLU();
                Matrix x = Matrix.filled(batch, features, 2);

                assertThat(layer.infer(x)).isEqualTo(x);
                assertThat(layer.forward(x)).isEqualTo(x);
                assertThat(layer.backward(x)).isEqualTo(x);
            }
        }
    }

    @Test
    void stateAndText_anyLayer_nothingLearned() {
        ReLU layer = new ReLU();

        assertThat(layer.parameters()).isEmpty();
        assertThat(layer.state()).isEmpty();
        assertThat(layer).hasToString("ReLU");
    }
}
