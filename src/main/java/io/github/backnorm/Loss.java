package io.github.backnorm;

import io.github.backnorm.internal.DoubleDouble;
import io.github.backnorm.internal.Losses;

/**
 * The loss of a batch and its gradient with respect to the network's output, ready for {@link Layer#backward}; and the
 * probabilities that the scores of a batch stand for.
 *
 * <p>Every loss is a mean, so its gradient does not grow with the batch. Errors are stated in units of {@code
 * u = 2⁻⁵³}, barring overflow and underflow. The bits of the results depend on the arguments alone. NaN passes through
 * IEEE 754 arithmetic: it makes the value NaN. In the gradient it makes NaN only its row (softmax cross-entropy) or its
 * entry (the other losses).
 *
 * <p>Immutable; safe for use by any number of threads.
 */
public final class Loss {
    private final Terms terms;
    private final Matrix gradient;
    private final double count;
    private final DoubleDouble sum;

    /** The terms that a loss is the mean of. */
    private interface Terms {
        /** Returns the sum of the terms, and sets the gradient of the mean over so many terms. */
        DoubleDouble sum(double count, double[] gradient);
    }

    /** The loss of a batch with so many terms, of which those given are some. */
    private Loss(int rows, int columns, double count, Terms terms) {
        double[] gradient = new double[rows * columns];
        this.terms = terms;
        this.count = count;
        this.sum = terms.sum(count, gradient);
        this.gradient = Matrix.wrap(rows, columns, gradient);
    }

    /** As this is, for a batch with so many rows, of which those given are some: the gradient is that of its mean. */
    Loss ofBatch(double rows) {
        double all = count / gradient.rows() * rows; // the quotient is 1 or the number of columns
        return all == count ? this : new Loss(gradient.rows(), gradient.columns(), all, terms);
    }

    /** The sum of the terms of the rows given. */
    DoubleDouble sum() {
        return sum;
    }

    /** The number of terms of the batch. */
    double count() {
        return count;
    }

    /**
     * {@return the softmax cross-entropy of scores and class labels, the mean over the rows of {@code −log p} of the
     * label's class}
     *
     * <p>It equals {@link #softmaxCrossEntropy(Matrix, Matrix)} to the bit, with targets of 1 at the label and 0
     * elsewhere. The relative error of the value is at most 11u, even where an almost certain row makes it 1e-14. That
     * of each entry of the gradient is at most 17u. A label whose score is −Infinity makes the value +Infinity.
     *
     * @param scores the network's outputs before any softmax, N×C, N ≥ 1, C ≥ 2
     * @param labels the right class of each row, N numbers from 0 to C − 1
     * @throws IllegalArgumentException if scores has no row or fewer than 2 columns, or not one label for each row
     * @throws IndexOutOfBoundsException if a label is not the number of a column
     */
    public static Loss softmaxCrossEntropy(Matrix scores, int... labels) {
        String where = "Loss.softmaxCrossEntropy";
        requireClasses(scores, where);
        Checks.requireNonNull(labels, where, "labels");
        Checks.requireLength(
                labels.length, scores.rows(), where, "labels", scores.rows() + " (one for each row of scores)");
        double[] targets = new double[scores.data().length];
        for (int i = 0; i < labels.length; i++) {
            String hint = labels[i] == -1 ? "; to leave rows out, take the others by Matrix.selectRows" : "";
            int label = Checks.requireIndex(labels[i], scores.columns(), where, "labels[" + i + "]", hint);
            targets[i * scores.columns() + label] = 1;
        }
        return softmaxCrossEntropy(scores, targets);
    }

    /**
     * {@return the softmax cross-entropy of scores and target probabilities, the mean over the rows of
     * {@code −Σⱼ tⱼ·log pⱼ}}
     *
     * <pre>{@code
     * pⱼ = exp(sⱼ)/Σₖ exp(sₖ)
     * ∂L/∂sⱼ = (pⱼ·Σₖ tₖ − tⱼ)/N
     * }</pre>
     * A row of targets usually sums to 1. Another sum is the row's weight; a row of zeros contributes nothing, but N
     * counts it. A term with tⱼ = 0 is 0, even where a score of −Infinity makes pⱼ 0.
     *
     * <p>One column is refused, for its p is always 1: two classes with one score are for {@link #binaryCrossEntropy}.
     *
     * <p>Accurate for scores of any size: the largest one of the row is subtracted first, without rounding. The value's
     * relative error is at most 11u, the gradient's error at most {@code 17u·(pⱼ·Σ(k≠j) tₖ + tⱼ·Σ(k≠j) pₖ)/N}. A row of
     * scores that contains NaN or +Infinity, or only −Infinity, has no softmax: the value and that row of the gradient
     * are NaN.
     *
     * @param scores the network's outputs before any softmax, N×C, N ≥ 1, C ≥ 2
     * @param targets the probabilities that p should have, N×C; finite and at least 0
     * @throws IllegalArgumentException if scores has no row or fewer than 2 columns, the shapes differ, or a target is
     *     out of range
     */
    public static Loss softmaxCrossEntropy(Matrix scores, Matrix targets) {
        String where = "Loss.softmaxCrossEntropy";
        requireClasses(scores, where);
        Checks.requireShape(targets, scores.rows(), scores.columns(), where, "targets");
        Checks.requireFinite(targets, where, "targets");
        Checks.requireNotNegative(targets, where, "targets");
        return softmaxCrossEntropy(scores, targets.data());
    }

    private static Loss softmaxCrossEntropy(Matrix scores, double[] targets) {
        int m = scores.rows();
        int n = scores.columns();
        return new Loss(
                m, n, m, (rows, gradient) -> Losses.softmaxCrossEntropy(m, n, scores.data(), targets, rows, gradient));
    }

    /**
     * {@return the binary cross-entropy of scores and targets, the mean over all entries of
     * {@code −t·log p − (1 − t)·log(1 − p)}} PyTorch calls it {@code BCEWithLogitsLoss}.
     *
     * <pre>{@code
     * p = 1/(1 + exp(−s))          the probability of class 1, by the score s
     * ∂L/∂s = (p − t)/(N·C)
     * }</pre>
     * With one column it is the loss of two classes, with more that of so many independent questions. A term with t = 0
     * or 1 − t = 0 is 0, even where its logarithm is infinite.
     *
     * <p>Accurate for scores of any size: the value's relative error is at most 11u, the gradient's error at most
     * {@code 9u·((1 − t)·p + t·(1 − p))/(N·C)}, a relative one where t is 0 or 1. A score of ±Infinity that its target
     * agrees with adds nothing. One that it contradicts makes the value +Infinity. A NaN makes the value and its entry
     * of the gradient NaN.
     *
     * @param scores the network's outputs before any sigmoid, N×C, N ≥ 1, C ≥ 1
     * @param targets the probabilities that p should have, N×C; 0 to 1
     * @throws IllegalArgumentException if there are no scores, the shapes differ or a target is not such a number
     */
    public static Loss binaryCrossEntropy(Matrix scores, Matrix targets) {
        String where = "Loss.binaryCrossEntropy";
        requireEntries(scores, where, "scores");
        Checks.requireShape(targets, scores.rows(), scores.columns(), where, "targets");
        requireProbabilities(targets, where);
        return ofEntries(
                scores, (n, gradient) -> Losses.binaryCrossEntropy(scores.data(), targets.data(), n, gradient));
    }

    /**
     * {@return the mean squared error, the mean of {@code (y − target)²} over all entries}
     *
     * <p>The gradient is {@code 2·(y − target)/(N·D)}. The relative error of the value is at most 5u, that of each
     * entry of the gradient 3u. The square of a difference beyond about 1e154 overflows and makes the mean +Infinity.
     *
     * @param y the network's output, N×D, N ≥ 1, D ≥ 1
     * @param target the output that it should have, N×D
     * @throws IllegalArgumentException if y has no entries or the shapes differ
     */
    public static Loss meanSquaredError(Matrix y, Matrix target) {
        String where = "Loss.meanSquaredError";
        requireEntries(y, where, "y");
        Checks.requireShape(target, y.rows(), y.columns(), where, "target");
        return ofEntries(y, (n, gradient) -> Losses.meanSquaredError(y.data(), target.data(), n, gradient));
    }

    /** A mean over all entries. */
    private static Loss ofEntries(Matrix y, Terms terms) {
        return new Loss(y.rows(), y.columns(), y.data().length, terms);
    }

    /**
     * {@return the softmax of scores, row by row: the probabilities of the classes, which {@link
     * #softmaxCrossEntropy(Matrix, Matrix) softmax cross-entropy} compares with targets}
     *
     * <pre>{@code
     * pⱼ = exp(sⱼ)/Σₖ exp(sₖ)
     * }</pre>
     * Accurate for scores of any size, as the cross-entropy is: the relative error of each p is at most 10u. A score of
     * −Infinity has p = 0. A row that contains NaN or +Infinity, or only −Infinity, has no softmax and becomes NaN.
     *
     * @param scores the network's outputs before any softmax, N×C, N ≥ 0, C ≥ 2
     * @throws IllegalArgumentException if scores has fewer than 2 columns
     */
    public static Matrix softmax(Matrix scores) {
        Checks.requireNonNull(scores, "Loss.softmax", "scores");
        requireTwoColumns(scores, "Loss.softmax", "sigmoid");
        double[] probabilities = new double[scores.data().length];
        Losses.softmax(scores.rows(), scores.columns(), scores.data(), probabilities);
        return Matrix.wrap(scores.rows(), scores.columns(), probabilities);
    }

    /**
     * {@return the logistic sigmoid {@code 1/(1 + exp(−s))} of each score: the probability of class 1, which {@link
     * #binaryCrossEntropy binary cross-entropy} compares with a target}
     *
     * <p>The relative error is at most 5u, also where p is near 0. From a score of about 37 on, p is 1. ±Infinity
     * becomes 1 or 0, and NaN stays NaN.
     *
     * @param scores the network's outputs before any sigmoid, of any shape
     */
    public static Matrix sigmoid(Matrix scores) {
        Checks.requireNonNull(scores, "Loss.sigmoid", "scores");
        double[] probabilities = new double[scores.data().length];
        Losses.sigmoid(scores.data(), probabilities);
        return Matrix.wrap(scores.rows(), scores.columns(), probabilities);
    }

    private static void requireClasses(Matrix scores, String where) {
        requireEntries(scores, where, "scores");
        requireTwoColumns(scores, where, "binaryCrossEntropy");
    }

    private static void requireTwoColumns(Matrix scores, String where, String forOne) {
        if (scores.columns() < 2) {
            throw Checks.refusal(
                    where,
                    "scores",
                    Checks.shape(scores),
                    "at least 2 columns; use " + forOne + " for two classes with one score");
        }
    }

    private static void requireProbabilities(Matrix targets, String where) {
        double[] data = targets.data();
        for (int i = 0; i < data.length; i++) {
            if (!(data[i] >= 0 && data[i] <= 1)) {
                throw Checks.refusal(where, Checks.entry(targets, i, "targets"), data[i], "0 to 1");
            }
        }
    }

    private static void requireEntries(Matrix matrix, String where, String what) {
        Checks.requireNonNull(matrix, where, what);
        if (matrix.data().length == 0) {
            throw Checks.refusal(where, what, Checks.shape(matrix), "at least 1 row and 1 column");
        }
    }

    /** {@return the loss L} */
    public double value() {
        return sum.dividedBy(count).value();
    }

    /** {@return ∂L/∂scores or ∂L/∂y, of the shape of scores or y} */
    public Matrix gradient() {
        return gradient;
    }

    /** {@return the value, and the shape of the gradient} */
    @Override
    public String toString() {
        return "Loss " + value() + ", gradient " + Checks.shape(gradient);
    }
}
