package io.github.backnorm;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import java.util.function.ToDoubleFunction;
import java.util.function.UnaryOperator;

/**
 * Compares the gradients that a layer computes with differences of its forward pass: a test for layers of your own.
 *
 * <p>For every entry z of x and of each parameter, the gradient ∂L/∂z that {@link Layer#backward} gives is compared
 * with the centered difference
 * <pre>{@code
 * D(h) = (L(z + h) − L(z − h))/2h = ∂L/∂z + h²·L‴/6 + O(h⁴) + r,   |r| about ε/h
 * }</pre>
 * where ε is the rounding error of L. The error of an entry is {@code |∂L/∂z − D|} relative to the largest of {@code
 * |∂L/∂z|}, {@code |D|} and {@code 10⁷·ε/h}. So r makes an error of 1e-7 where gradients are lost in rounding, less
 * elsewhere. Right gradients have errors below 1e-5, which leaves r a margin of 100. A wrong one has a larger error if
 * it is off by 1e-5 of itself and by {@code 100·ε/h}, and its full error if it is of the order of 10⁷·ε/h at least.
 *
 * <p>ε is estimated by what rounding does to L, since L may be small because its terms cancel, and y inexact because
 * terms cancel in the layer. It is the largest of three numbers, {@code u = 2⁻⁵³}: {@code u·|L|}; {@code
 * u·Σ|yᵢⱼ·∂L/∂yᵢⱼ|}, for the terms of L; and the standard deviation of L's errors at points in a row, some 10⁴ ulps
 * apart in all entries at once. Fourth differences of L show it there, as they leave nothing of a smooth function over
 * so short a way (Moré and Wild, 2011, <i>Estimating computational noise</i>). A loss that adds a large number and
 * takes it away again, such as {@code log(1 + p)} for a tiny p, hides its ε from all three.
 *
 * <p>The first h is {@code 2⁻¹⁴·max(1, |z|)}. If D agrees with the gradient, that is all. Otherwise seven smaller steps
 * follow, each a 16th of the one before, for z may be near a kink or L strongly curved. The largest step whose D is,
 * but for rounding, that of all smaller ones has no truncation error to speak of, and the step after it, with 1/256 of
 * that, decides. At a kink itself, the slopes to the left and to the right differ however small h is. There any
 * gradient between the two counts as right, and the entry as skipped. Where kinks of several units coincide, as in a
 * row of zeros and a bias of zeros, a right gradient need not lie between the slopes; check at another point.
 *
 * <p>{@code forward} must be a function of x and the parameters only: if a layer draws random numbers, fix them. {@link
 * Layer#backwardParameters} is not called. Each entry costs 2 forward passes, or 16; take small layers and batches.
 * Afterwards the layer's {@link Layer#state} is what it was, to the bit; its gradients and its remembered pass are not.
 */
public final class GradientCheck {
    private static final double UNIT_ROUNDOFF = 0x1p-53;
    private static final double FIRST_STEP = 0x1p-14;
    private static final double STEP_RATIO = 16;
    private static final int STEPS = 8;

    /** A rounding error of a difference counts as 1/RESOLVED at most. */
    private static final double RESOLVED = 1e7;

    /** Rounding and truncation make no larger error; one that is larger may be that of a kink. */
    private static final double TOLERATED = 1e-5;

    /** Times ε/h, four standard deviations of the rounding error of D(h): two errors of L, divided by 2h. */
    private static final double MARGIN = 3;

    /** At a kink, a step keeps more than this part of the gap between the slopes; curvature leaves 1/16 of it. */
    private static final double KEPT_AT_KINK = 0.25;

    private static final int NEIGHBORS = 9;
    private static final int NEIGHBOR_ULPS = 1 << 13;

    private final Layer layer;
    private final ToDoubleFunction<Matrix> loss;
    private double lossHere;
    private double rounding;
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
     * @throws IllegalArgumentException if the layer cannot take x, or ∂L/∂y has another shape than y;
     *     or if an affine layer has {@link Precision#SINGLE}
     */
    public static GradientCheck run(
            Layer layer, Matrix x, ToDoubleFunction<Matrix> loss, UnaryOperator<Matrix> lossGradient) {
        Checks.requireNonNull(layer, "GradientCheck.run", "layer");
        Checks.requireNonNull(x, "GradientCheck.run", "x");
        Checks.requireNonNull(loss, "GradientCheck.run", "loss");
        Checks.requireNonNull(lossGradient, "GradientCheck.run", "lossGradient");
        if (hasSinglePrecision(layer)) {
            throw Checks.refusal(
                    "GradientCheck.run",
                    "layer",
                    "in single precision",
                    "double, for differences need its digits; check withPrecision(Precision.DOUBLE)");
        }
        Map<String, Matrix> state = layer.state();
        GradientCheck check = new GradientCheck(layer, loss);
        try {
            check.compareAll(x, lossGradient);
        } finally {
            layer.restore(state);
        }
        return check;
    }

    private static boolean hasSinglePrecision(Layer layer) {
        return layer instanceof Network network
                ? network.layers().stream().anyMatch(GradientCheck::hasSinglePrecision)
                : layer instanceof Affine affine && affine.precision() == Precision.SINGLE;
    }

    private void compareAll(Matrix x, UnaryOperator<Matrix> lossGradient) {
        Matrix y = layer.forward(x);
        Matrix dy = lossGradient.apply(y);
        Matrix dx = layer.backward(dy);
        List<Named> parameters = new ArrayList<>();
        Network.parametersByName(layer)
                .forEach((name, parameter) ->
                        parameters.add(new Named(name, parameter, parameter.value(), parameter.gradient())));
        lossHere = loss.applyAsDouble(y);
        Matrix terms = dy.combine(y, (d, value) -> d == 0 ? 0 : Math.abs(d * value)); // a masked y may be −Infinity
        rounding = Math.max(UNIT_ROUNDOFF * terms.sum(), roundingNearby(x, parameters));
        compare("x", x, dx, moved -> loss.applyAsDouble(layer.forward(moved)));
        for (Named named : parameters) {
            compare(named.name, named.value, named.gradient, moved -> {
                named.parameter.setValue(moved);
                return loss.applyAsDouble(layer.forward(x));
            });
            named.parameter.setValue(named.value);
        }
    }

    /** The standard deviation of the rounding errors of L, by fourth differences over points in a row. */
    private double roundingNearby(Matrix x, List<Named> parameters) {
        double[] losses = new double[NEIGHBORS];
        for (int t = 0; t < NEIGHBORS; t++) {
            int steps = t;
            Random random = new Random(NEIGHBORS); // the same direction for each t
            parameters.forEach(named -> named.parameter.setValue(neighbor(named.value, steps, random)));
            losses[t] = loss.applyAsDouble(layer.forward(neighbor(x, steps, random)));
        }
        parameters.forEach(named -> named.parameter.setValue(named.value));
        double largest = 0;
        for (int t = 0; t + 4 < NEIGHBORS; t++) {
            double fourth = losses[t] - 4 * losses[t + 1] + 6 * losses[t + 2] - 4 * losses[t + 3] + losses[t + 4];
            largest = Math.max(largest, Math.abs(fourth));
        }
        return largest / Math.sqrt(1 + 16 + 36 + 16 + 1);
    }

    /** The matrix some steps away, a step being an odd number of ulps in each entry, so that the last bits change. */
    private static Matrix neighbor(Matrix matrix, int steps, Random random) {
        return matrix.map(
                entry -> entry + steps * (2 * random.nextInt(NEIGHBOR_ULPS) - NEIGHBOR_ULPS + 1) * Math.ulp(entry));
    }

    private record Named(String name, Parameter parameter, Matrix value, Matrix gradient) {}

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
        double h = FIRST_STEP * Math.max(1, Math.abs(z));
        Difference[] differences = new Difference[STEPS];
        differences[0] = difference(z, h, lossAt);
        double error = differences[0].error(gradient);
        if (error > 1 / RESOLVED) { // not NaN
            for (int k = 1; k < STEPS; k++) {
                h /= STEP_RATIO;
                differences[k] = difference(z, h, lossAt);
            }
            error = differences[withoutTruncation(differences)].error(gradient);
            if (error > TOLERATED && isKink(differences, gradient)) {
                skipped++;
                return;
            }
        }
        record(place, error);
    }

    private void record(String place, double error) {
        if (!Double.isNaN(worstError) && !(error <= worstError)) { // the first NaN stays
            worstError = error;
            worstPlace = place;
        }
    }

    /** D(h), the slopes to the left and to the right that it is the mean of, and the rounding error of D(h). */
    private record Difference(double centered, double left, double right, double rounding) {
        double error(double gradient) {
            double scale = Math.max(RESOLVED * rounding, Math.max(Math.abs(gradient), Math.abs(centered)));
            return scale == 0 ? 0 : Math.abs(gradient - centered) / scale;
        }

        double gap() {
            return Math.abs(right - left);
        }
    }

    private Difference difference(double z, double h, DoubleUnaryOperator lossAt) {
        double right = z + h;
        double left = z - h;
        double lossRight = lossAt.applyAsDouble(right);
        double lossLeft = lossAt.applyAsDouble(left);
        double largest = Math.max(Math.abs(lossRight), Math.abs(lossLeft));
        return new Difference(
                (lossRight - lossLeft) / (right - left),
                (lossHere - lossLeft) / (z - left),
                (lossRight - lossHere) / (right - z),
                Math.max(rounding, UNIT_ROUNDOFF * largest) / h);
    }

    /** The step after the largest one whose difference agrees, but for rounding, with those of all smaller steps. */
    private static int withoutTruncation(Difference[] differences) {
        double low = Double.NEGATIVE_INFINITY;
        double high = Double.POSITIVE_INFINITY;
        int k = STEPS;
        while (k > 0 && differences[k - 1].centered >= low && differences[k - 1].centered <= high) {
            k--;
            low = Math.max(low, differences[k].centered - MARGIN * differences[k].rounding);
            high = Math.min(high, differences[k].centered + MARGIN * differences[k].rounding);
        }
        return Math.min(k + 1, STEPS - 1);
    }

    /** Whether the gradient lies between two slopes that stay apart down to the smallest step that resolves it. */
    private static boolean isKink(Difference[] differences, double gradient) {
        int k = STEPS - 1;
        while (differences[k].error(gradient) <= TOLERATED) { // that of the step that decides, not the first, is larger
            k--;
        }
        Difference d = differences[k];
        double outside = Math.abs(gradient - d.left) + Math.abs(gradient - d.right) - d.gap();
        return d.gap() > KEPT_AT_KINK * differences[k - 1].gap()
                && outside <= TOLERATED * d.gap() + MARGIN * d.rounding;
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
