package io.github.backnorm;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.DoubleUnaryOperator;
import java.util.function.ToDoubleFunction;
import java.util.function.UnaryOperator;

/**
 * Compares the gradients that a layer computes with differences of its forward pass: a test for layers of your own.
 *
 * <p>For every entry z of x and of each parameter, the gradient ∂L/∂z that {@link Layer#backward} gives is compared
 * with the centered difference
 * <pre>{@code
 * D(h) = (L(z + h) − L(z − h))/2h = ∂L/∂z + h²·L‴/6 + O(h⁴) + r,   |r| about u·|L|/h,   u = 2⁻⁵³
 * }</pre>
 * at {@code h = u^(1/3)·max(1, |z|)}, where truncation and rounding are of the same order. If the two disagree, h/16
 * and then h/256 are tried: smaller steps keep kinks near z outside the interval and resolve strongly curved losses. At
 * a kink itself, the differences to the left and to the right disagree however small h is. There any gradient between
 * the two counts as right, and the entry as skipped.
 *
 * <p>The error of an entry is {@code |∂L/∂z − D|} relative to the largest of {@code |∂L/∂z|}, {@code |D|} and {@code
 * 10⁶·u·|L|/h}, below which gradients are lost in rounding. The smallest error of the steps tried counts, so a wrong
 * gradient shows its full error only if it or D is at least about {@code |L|/100}. For entries of the order of 1, right
 * gradients have errors below about 1e-5 and wrong ones of the order of 1; the step does not shrink with smaller
 * entries. The check is sharpest if the loss is about as large as its gradients. {@code forward} must be a function of
 * x and the parameters only: if a layer draws random numbers, fix them. {@link Layer#backwardParameters} is not called.
 *
 * <p>Each entry costs two or more forward passes; take small layers and batches. Afterwards the layer's {@link
 * Layer#state} is what it was, to the bit; its gradients and its remembered pass are not.
 */
public final class GradientCheck {
    private static final double UNIT_ROUNDOFF = 0x1p-53;
    private static final double RELATIVE_STEP = StrictMath.cbrt(UNIT_ROUNDOFF);
    private static final double[] STEP_FACTORS = {1, 1.0 / 16, 1.0 / 256};

    /** Up to this error, no smaller step is tried. */
    private static final double AGREEMENT = 1e-8;

    /** Only an entry with a larger error may be at a kink. */
    private static final double DISAGREEMENT = 1e-6;

    /** A rounding of the loss changes the error of an entry by about 1/RESOLVED at most. */
    private static final double RESOLVED = 1e6;

    /** Only slopes to the left and right that differ by more, relatively, may be those of a kink. */
    private static final double KINK = 1e-3;

    /** At a kink, more than this part of the largest gap between the slopes remains; curvature leaves 1/256 of it. */
    private static final double KEPT_AT_KINK = 1.0 / 16;

    private final Layer layer;
    private final ToDoubleFunction<Matrix> loss;
    private int entries;
    private int skipped;
    private double worstError = -1;
    private String worstPlace = "none";

    private GradientCheck(Layer layer, ToDoubleFunction<Matrix> loss) {
        this.layer = layer;
        this.loss = loss;
    }

    /**
     * Checks a layer or network at one input.
     *
     * @param layer the layer
     * @param x a batch that it takes, N×D
     * @param loss L, a function of the layer's y
     * @param lossGradient ∂L/∂y as a function of y, of y's shape; an error in it looks like an error of the layer
     * @return what was found
     * @throws IllegalArgumentException if the layer cannot take x, or ∂L/∂y has another shape than y
     */
    public static GradientCheck run(
            Layer layer, Matrix x, ToDoubleFunction<Matrix> loss, UnaryOperator<Matrix> lossGradient) {
        Checks.requireNonNull(layer, "GradientCheck.run", "layer");
        Checks.requireNonNull(x, "GradientCheck.run", "x");
        Checks.requireNonNull(loss, "GradientCheck.run", "loss");
        Checks.requireNonNull(lossGradient, "GradientCheck.run", "lossGradient");
        Map<String, Matrix> state = layer.state();
        GradientCheck check = new GradientCheck(layer, loss);
        try {
            check.compareAll(x, lossGradient);
        } finally {
            layer.restore(state);
        }
        return check;
    }

    private void compareAll(Matrix x, UnaryOperator<Matrix> lossGradient) {
        Matrix dx = layer.backward(lossGradient.apply(layer.forward(x)));
        List<Named> parameters = new ArrayList<>();
        collect("", layer, parameters);
        compare("x", x, dx, moved -> loss.applyAsDouble(layer.forward(moved)));
        for (Named named : parameters) {
            Matrix value = named.parameter.value();
            compare(named.name, value, named.gradient, moved -> {
                named.parameter.setValue(moved);
                return loss.applyAsDouble(layer.forward(x));
            });
            named.parameter.setValue(value);
        }
    }

    private record Named(String name, Parameter parameter, Matrix gradient) {}

    /** Collects the parameters and their current gradients; in a network, under the names of its state. */
    private static void collect(String prefix, Layer layer, List<Named> parameters) {
        if (layer instanceof Network network) {
            for (int i = 0; i < network.layers().size(); i++) {
                collect(prefix + i + ".", network.layers().get(i), parameters);
            }
        } else {
            for (Parameter parameter : layer.parameters()) {
                parameters.add(new Named(prefix + parameter.name(), parameter, parameter.gradient()));
            }
        }
    }

    private void compare(String what, Matrix value, Matrix gradient, ToDoubleFunction<Matrix> lossAt) {
        Checks.requireShape(gradient, value.rows(), value.columns(), "GradientCheck.run", "gradient of " + what);
        for (int i = 0; i < value.rows(); i++) {
            for (int j = 0; j < value.columns(); j++) {
                int row = i;
                int column = j;
                check(
                        what + "[" + i + "," + j + "]",
                        value.get(i, j),
                        gradient.get(i, j),
                        entry -> lossAt.applyAsDouble(with(value, row, column, entry)));
            }
        }
    }

    private static Matrix with(Matrix matrix, int row, int column, double entry) {
        return Matrix.generate(
                matrix.rows(), matrix.columns(), (i, j) -> i == row && j == column ? entry : matrix.get(i, j));
    }

    private void check(String place, double z, double gradient, DoubleUnaryOperator lossAt) {
        entries++;
        double error = Double.POSITIVE_INFINITY;
        double largestGap = 0; // between the slopes on both sides of z
        boolean kink = false;
        for (double factor : STEP_FACTORS) {
            double h = factor * RELATIVE_STEP * Math.max(1, Math.abs(z));
            double right = z + h;
            double left = z - h;
            double lossRight = lossAt.applyAsDouble(right);
            double lossLeft = lossAt.applyAsDouble(left);
            double difference = (lossRight - lossLeft) / (right - left);
            double resolved = RESOLVED * UNIT_ROUNDOFF * Math.max(Math.abs(lossRight), Math.abs(lossLeft)) / h;
            double scale = Math.max(resolved, Math.max(Math.abs(gradient), Math.abs(difference)));
            double errorOfStep = scale == 0 ? 0 : Math.abs(gradient - difference) / scale;
            error = Math.min(error, errorOfStep); // NaN stays NaN
            if (error <= AGREEMENT) {
                break;
            }
            double loss = lossAt.applyAsDouble(z);
            double slopeRight = (lossRight - loss) / (right - z);
            double slopeLeft = (loss - lossLeft) / (z - left);
            double gap = Math.abs(slopeRight - slopeLeft);
            largestGap = Math.max(largestGap, gap);
            kink = gap > KINK * scale
                    && gap > largestGap * KEPT_AT_KINK
                    && Math.abs(gradient - slopeRight) + Math.abs(gradient - slopeLeft)
                            <= gap + DISAGREEMENT * Math.max(scale, gap);
        }
        if (error > DISAGREEMENT && kink) {
            skipped++;
        } else if (!Double.isNaN(worstError) && !(error <= worstError)) { // the first NaN stays
            worstError = error;
            worstPlace = place;
        }
    }

    /** {@return the largest relative error; NaN if a gradient or a loss was NaN, or if no entry was checked} */
    public double worstError() {
        return worstError < 0 ? Double.NaN : worstError;
    }

    /** {@return where the largest error was: {@code x[3,1]}, {@code 0.weight[2,5]}} */
    public String worstPlace() {
        return worstPlace;
    }

    /** {@return the number of entries of x and of the parameters} */
    public int entries() {
        return entries;
    }

    /** {@return how many of the entries lie at a kink and were not checked} */
    public int skipped() {
        return skipped;
    }

    /** {@return the findings in one line} */
    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                "worst relative error %.1e at %s, %d entries, %d at kinks",
                worstError(),
                worstPlace,
                entries,
                skipped);
    }
}
