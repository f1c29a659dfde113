package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Compares a layer's backward, dx and every parameter's gradient, with centered differences of its forward.
 *
 * <p>For an entry z of x or of a parameter, the loss L and a step h,
 * <pre>{@code
 * D(h) = (L(z + h) − L(z − h))/2h = L′ + h²·L‴/6 + O(h⁴) + r,   |r| ≤ n·u·S/h,   u = 2⁻⁵³
 * }</pre>
 * where r is the rounding error of L over h: {@code S = Σ |dy|·(1 + |y|)} is the size of the terms of L, and n bounds
 * the length of the chains of roundings that end in L (products over columns, means and variances over rows, the loss
 * over y) by the number of all entries of x, y and the parameters, and {@value #SINGLE_ROUNDINGS} more for single
 * operations. That takes a well-conditioned layer: entries of order 1, no column with √(σ² + ε) far below its entries.
 *
 * <p>Truncation and rounding are of one order at {@code h = u^(1/3)·max(1, |z|)}. The truncation is measured:
 * {@code D(2h) − D(h) = 3·h²·L‴/6 + …} is three times that of D(h). So the tolerance is
 * {@code |D(2h) − D(h)| + n·u·S/h}. It has to be less than {@value #SHARPNESS}·S, for it grows where the model does not
 * hold.
 *
 * <p>At a kink of a ReLU there is no derivative: an entry is skipped if its steps make an input of a ReLU positive that
 * was not, or the reverse. At most one in {@value #ENTRIES_PER_SKIPPED} may be.
 */
final class GradientCheck {
    private static final double U = 0x1p-53;
    private static final int SINGLE_ROUNDINGS = 16;
    private static final double SHARPNESS = 1e-7;
    private static final int ENTRIES_PER_SKIPPED = 20;
    private static final int[] STEPS = {-2, -1, 1, 2};

    private final String as;
    private final Layer layer;
    private final Loss loss;
    private double size;
    private int roundings;
    private int skipped;

    private GradientCheck(String as, Layer layer, Loss loss) {
        this.as = as;
        this.layer = layer;
        this.loss = loss;
    }

    /** A scalar function of y, and its gradient. */
    interface Loss {
        double of(Matrix y);

        Matrix gradient(Matrix y);

        /** {@code L = ½·Σ (y − target)²}, {@code dy = y − target}. */
        static Loss squares(Matrix target) {
            return new Loss() {
                @Override
                public double of(Matrix y) {
                    Matrix d = gradient(y);
                    return d.hadamard(d).sum() / 2;
                }

                @Override
                public Matrix gradient(Matrix y) {
                    return y.minus(target);
                }
            };
        }
    }

    /** Fails if a gradient is off; leaves the layer's state as it was, though forward moves running statistics. */
    static void check(String as, Layer layer, Matrix x, Loss loss) {
        Map<String, Matrix> state = layer.state();
        try {
            new GradientCheck(as, layer, loss).check(x);
        } finally {
            layer.restore(state);
        }
        assertThat(layer.state()).as(as).isEqualTo(state);
    }

    private void check(Matrix x) {
        Matrix y = layer.forward(x);
        Matrix dy = loss.gradient(y);
        Matrix dx = layer.backward(dy);
        List<Parameter> parameters = layer.parameters();
        List<Matrix> gradients = parameters.stream().map(Parameter::gradient).toList();
        int entries = entries(x)
                + parameters.stream().mapToInt(p -> entries(p.value())).sum();
        roundings = entries + entries(y) + SINGLE_ROUNDINGS;
        size = dy.combine(y, (d, value) -> Math.abs(d) * (1 + Math.abs(value))).sum();

        compare("x", x, dx, this::sample);
        for (int i = 0; i < gradients.size(); i++) {
            Parameter parameter = parameters.get(i);
            Matrix value = parameter.value();
            compare(parameter.name() + " (parameter " + i + ")", value, gradients.get(i), moved -> {
                parameter.setValue(moved);
                return sample(x);
            });
            parameter.setValue(value);
        }
        assertThat(skipped)
                .as("%s: entries skipped at kinks, of %d", as, entries)
                .isLessThanOrEqualTo(entries / ENTRIES_PER_SKIPPED);
    }

    /** A value of the loss, and for each input of each ReLU whether it was positive. */
    private record Sample(double loss, List<Boolean> positive) {}

    private interface Sampler {
        Sample at(Matrix moved);
    }

    private Sample sample(Matrix x) {
        List<Boolean> positive = new ArrayList<>();
        trace(layer, x, positive);
        return new Sample(loss.of(layer.forward(x)), positive);
    }

    private static Matrix trace(Layer layer, Matrix x, List<Boolean> positive) {
        if (layer instanceof Network network) {
            Matrix y = x;
            for (Layer inner : network.layers()) {
                y = trace(inner, y, positive);
            }
            return y;
        }
        if (layer instanceof ReLU) {
            for (double value : x.toArray()) {
                positive.add(value > 0);
            }
        }
        return layer.forward(x);
    }

    private void compare(String what, Matrix value, Matrix gradient, Sampler sampler) {
        assertThat(List.of(gradient.rows(), gradient.columns()))
                .as("%s: shape of ∂L/∂%s", as, what)
                .isEqualTo(List.of(value.rows(), value.columns()));
        for (int i = 0; i < value.rows(); i++) {
            for (int j = 0; j < value.columns(); j++) {
                double h = Math.cbrt(U) * Math.max(1, Math.abs(value.get(i, j)));
                List<Sample> samples = new ArrayList<>();
                for (int step : STEPS) {
                    samples.add(sampler.at(plusAt(value, i, j, step * h)));
                }
                if (samples.stream().map(Sample::positive).distinct().count() > 1) {
                    skipped++;
                    continue;
                }
                double near = (samples.get(2).loss - samples.get(1).loss) / (2 * h);
                double far = (samples.get(3).loss - samples.get(0).loss) / (4 * h);
                double tolerance = Math.abs(far - near) + roundings * U * size / h;
                String entry = as + ": ∂L/∂" + what + "[" + i + "," + j + "]";
                assertThat(tolerance).as("%s: tolerance", entry).isLessThan(SHARPNESS * size);
                assertThat(gradient.get(i, j)).as(entry).isCloseTo(near, within(tolerance));
            }
        }
    }

    private static Matrix plusAt(Matrix value, int row, int column, double step) {
        return Matrix.generate(
                value.rows(),
                value.columns(),
                (i, j) -> i == row && j == column ? value.get(i, j) + step : value.get(i, j));
    }

    private static int entries(Matrix matrix) {
        return matrix.rows() * matrix.columns();
    }
}
