package io.github.backnorm.internal;

/**
 * Losses and their gradients, over row-major m×n arrays with at least one entry. A loss is a mean over a batch; a
 * method returns the sum over the rows that it gets, in two words, and sets the gradient of the mean.
 *
 * <p>Softmax cross-entropy of one row s with targets t. M is the largest score and {@code eⱼ = exp(sⱼ − M)}. The sum of
 * all e is 1 + E, where E leaves out the largest. Then
 * <pre>{@code
 * pⱼ = eⱼ/(1 + E)                             softmax
 * −log pⱼ = (M − sⱼ) + log1p(E)               no term below 0: nothing cancels
 * L = Σⱼ tⱼ·(−log pⱼ)
 * ∂L/∂sⱼ = pⱼ·Σₖ tₖ − tⱼ
 *        = (eⱼ·Σ(k≠j) tₖ − tⱼ·Σ(k≠j) eₖ)/(1 + E)
 * }</pre>
 * The last form has no p − 1, which would cancel: where t is 1 at one place and 0 elsewhere, one of its products is 0.
 * A sum over k ≠ j is formed without term j if that is the largest. Otherwise term j is subtracted from the sum of all,
 * and at least half of it is left.
 *
 * <p>Relative errors to first order in {@code u = 2⁻⁵³}, barring underflow. M − sⱼ is exact, in two words, because exp
 * would multiply its error. Then eⱼ has 3u, from exp (2u, an error of 1 ulp) and from the low word; E 4u; log1p 6u;
 * −log pⱼ 7u, with M − sⱼ rounded; L 9u; the mean over the rows 10u. In the gradient the sum of the other e has 7u (the
 * 3u of its terms, and three roundings of which one is of a sum up to twice its size), that of the other t 4u. So the
 * numerator is off by at most 9u times the sum of the magnitudes of its products. The denominator has 6u with the
 * factor m, and the division adds u: 16u of those magnitudes.
 */
public final class Losses {
    private Losses() {}

    /**
     * Returns the sum of L over the rows, and sets the gradient of the mean over {@code rows} rows. A term with tⱼ = 0
     * is 0. A row of scores that contains NaN or +Infinity, or only −Infinity, makes the sum and its row of the
     * gradient NaN.
     */
    public static DoubleDouble softmaxCrossEntropy(
            int m, int n, double[] scores, double[] targets, double rows, double[] gradient) {
        CompensatedSum sum = new CompensatedSum();
        double[] exp = new double[n];
        double[] terms = new double[n];
        for (int i = 0; i < m; i++) {
            int start = i * n;
            int top = indexOfLargest(scores, start, n);
            int main = indexOfLargest(targets, start, n);
            double expBesideTop = expOfRow(n, scores, start, top, exp);
            double expOfAll = exp[top - start] + expBesideTop;
            double logOfAll = StrictMath.log1p(expBesideTop);
            double targetsBesideMain = sumWithout(targets, start, n, main);
            double allTargets = targets[main] + targetsBesideMain;
            for (int j = 0; j < n; j++) {
                int at = start + j;
                double otherExp = at == top ? expBesideTop : expOfAll - exp[j];
                double otherTargets = at == main ? targetsBesideMain : allTargets - targets[at];
                gradient[at] = Math.fma(exp[j], otherTargets, -(targets[at] * otherExp)) / (rows * expOfAll);
                double minusLog = (scores[top] - scores[at]) + logOfAll;
                terms[j] = targets[at] * (targets[at] == 0 ? exp[j] : minusLog); // unlike −log p, e is not infinite
            }
            sum.add(CompensatedSum.of(n, terms, 0, 1).value());
        }
        return sum.get();
    }

    /**
     * Sets p, row by row; the division makes its relative error 9u. A row of scores that contains NaN or +Infinity, or
     * only −Infinity, becomes NaN.
     */
    public static void softmax(int m, int n, double[] scores, double[] probabilities) {
        double[] exp = new double[n];
        for (int i = 0; i < m; i++) {
            int start = i * n;
            int top = indexOfLargest(scores, start, n);
            double expBesideTop = expOfRow(n, scores, start, top, exp);
            double expOfAll = exp[top - start] + expBesideTop;
            for (int j = 0; j < n; j++) {
                probabilities[start + j] = exp[j] / expOfAll;
            }
        }
    }

    /** Sets e of a row whose largest score is at an index; returns E. */
    private static double expOfRow(int n, double[] scores, int start, int top, double[] exp) {
        for (int j = 0; j < n; j++) {
            exp[j] = expOfMinus(DoubleDouble.sum(scores[top], -scores[start + j]));
        }
        return sumWithout(exp, 0, n, top - start);
    }

    /**
     * Returns the sum of {@code −t·log p − (1 − t)·log(1 − p)}, and sets the gradient of the mean over n entries.
     * Targets are 0 to 1, p is {@code 1/(1 + exp(−s))}, a term with the factor 0 is 0. With {@code e = exp(−|s|)}:
     * <pre>{@code
     * −log p       = max(−s, 0) + log1p(e)
     * −log(1 − p)  = max(s, 0) + log1p(e)
     * ∂L/∂s        = p − t = (1 − t)·p − t·(1 − p)
     *              = ((1 − t)·e − t)/(1 + e) for s < 0, (1 − t − t·e)/(1 + e) elsewhere
     * }</pre>
     * No sum but the last cancels, and that one has a single term where t is 0 or 1.
     *
     * <p>Relative errors to first order, as above: e 2u, log1p 4u, −log p and −log(1 − p) 5u, their products with the
     * factors 7u, with 1 − t rounded; the sum 8u, the mean 10u. In the gradient each product has 3u, their difference u
     * of it, the denominator with the number of entries 3u and the division u: 8u of the magnitudes of the products.
     */
    public static DoubleDouble binaryCrossEntropy(double[] scores, double[] targets, double n, double[] gradient) {
        CompensatedSum sum = new CompensatedSum();
        for (int i = 0; i < scores.length; i++) {
            double s = scores[i];
            double t = targets[i];
            double rest = 1 - t;
            double exp = StrictMath.exp(-Math.abs(s));
            double log = StrictMath.log1p(exp);
            double ofOne = t * (t == 0 ? exp : Math.max(-s, 0) + log); // 0 but for NaN, where t = 0 too
            double ofZero = rest * (rest == 0 ? exp : Math.max(s, 0) + log);
            sum.add(ofOne + ofZero);
            double p = s < 0 ? exp : 1; // times 1 + exp
            double notP = s < 0 ? 1 : exp;
            gradient[i] = Math.fma(rest, p, -(t * notP)) / (n * (1 + exp));
        }
        return sum.get();
    }

    /**
     * Sets {@code p = 1/(1 + exp(−s))}, entry by entry, which for s < 0 is {@code e/(1 + e)}. An error of e counts at
     * most once, 2u; with the sum and the division p has 4u.
     */
    public static void sigmoid(double[] scores, double[] probabilities) {
        for (int i = 0; i < scores.length; i++) {
            double exp = StrictMath.exp(-Math.abs(scores[i]));
            probabilities[i] = (scores[i] < 0 ? exp : 1) / (1 + exp);
        }
    }

    /** Returns the sum of {@code (y − target)²}, and sets the gradient of the mean over n entries. */
    public static DoubleDouble meanSquaredError(double[] y, double[] target, double n, double[] gradient) {
        double half = 0.5 * n;
        CompensatedSum sum = new CompensatedSum();
        for (int i = 0; i < y.length; i++) {
            double difference = y[i] - target[i];
            sum.add(difference * difference);
            gradient[i] = difference / half;
        }
        return sum.get();
    }

    /** {@code exp(−gap)}, with 1 − lo for {@code exp(−lo)}: where the result is not 0, lo is at most 2⁻⁴⁴. */
    private static double expOfMinus(DoubleDouble gap) {
        double exp = StrictMath.exp(-gap.hi());
        return Math.fma(exp, -gap.lo(), exp);
    }

    /** The index of the largest of n entries, the first one in case of a tie; any index if one is NaN. */
    private static int indexOfLargest(double[] a, int start, int n) {
        int largest = start;
        for (int at = start + 1; at < start + n; at++) {
            if (a[at] > a[largest]) {
                largest = at;
            }
        }
        return largest;
    }

    private static double sumWithout(double[] terms, int start, int n, int skipped) {
        CompensatedSum sum = new CompensatedSum();
        for (int at = start; at < start + n; at++) {
            if (at != skipped) {
                sum.add(terms[at]);
            }
        }
        return sum.value();
    }
}
