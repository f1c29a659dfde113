package io.github.backnorm;

import java.math.BigDecimal;
import java.math.MathContext;

/**
 * Softmax cross-entropy of one row in decimal arithmetic. The loss is {@code −Σⱼ tⱼ·log pⱼ}, its derivatives are {@code
 * pⱼ·Σₖ tₖ − tⱼ = pⱼ·Σ(k≠j) tₖ − tⱼ·Σ(k≠j) pₖ}. Every term has some 50 correct digits. The library's algorithm is not
 * used here.
 */
final class ExactLoss {
    static final MathContext PRECISION = new MathContext(60);
    private static final BigDecimal TWO = BigDecimal.valueOf(2);
    private static final BigDecimal NEGLIGIBLE = new BigDecimal("1e-65");
    private static final BigDecimal NO_DOUBLE = BigDecimal.valueOf(-2000); // e to this is far below the least double

    private final double[] targets;
    private final BigDecimal[] exp;
    private final BigDecimal expOfAll;

    /** The loss of the row. None of its terms is negative. */
    final BigDecimal value;

    ExactLoss(double[] scores, double[] targets) {
        this.targets = targets;
        int n = scores.length;
        BigDecimal max = new BigDecimal(scores[0]);
        for (double score : scores) {
            max = max.max(new BigDecimal(score));
        }
        exp = new BigDecimal[n];
        BigDecimal all = BigDecimal.ZERO;
        for (int j = 0; j < n; j++) {
            exp[j] = exp(new BigDecimal(scores[j]).subtract(max));
            all = all.add(exp[j]); // exact, so that nothing is lost when the largest term, 1, is subtracted
        }
        expOfAll = all;
        BigDecimal log = log1p(all.subtract(BigDecimal.ONE));
        BigDecimal sum = BigDecimal.ZERO;
        for (int j = 0; j < n; j++) {
            BigDecimal minusLog = max.subtract(new BigDecimal(scores[j])).add(log);
            sum = sum.add(new BigDecimal(targets[j]).multiply(minusLog));
        }
        value = sum;
    }

    /** {@code pⱼ}. */
    BigDecimal probability(int j) {
        return exp[j].divide(expOfAll, PRECISION);
    }

    /** The first term of the derivative: {@code pⱼ·Σ(k≠j) tₖ}. */
    BigDecimal added(int j) {
        BigDecimal others = BigDecimal.ZERO;
        for (int k = 0; k < targets.length; k++) {
            others = k == j ? others : others.add(new BigDecimal(targets[k]));
        }
        return exp[j].multiply(others).divide(expOfAll, PRECISION);
    }

    /** The second term of the derivative, which is subtracted: {@code tⱼ·Σ(k≠j) pₖ}. */
    BigDecimal subtracted(int j) {
        return new BigDecimal(targets[j]).multiply(expOfAll.subtract(exp[j])).divide(expOfAll, PRECISION);
    }

    /** The exponential of x ≤ 0: its series at x/2ᵏ, squared k times. Squaring costs at most 7 digits. */
    private static BigDecimal exp(BigDecimal x) {
        if (x.compareTo(NO_DOUBLE) < 0) {
            return BigDecimal.ZERO;
        }
        int halvings = 21;
        BigDecimal small = x.divide(TWO.pow(halvings), PRECISION);
        BigDecimal sum = BigDecimal.ONE;
        BigDecimal term = BigDecimal.ONE;
        for (int i = 1; term.abs().compareTo(NEGLIGIBLE) > 0; i++) {
            term = term.multiply(small).divide(BigDecimal.valueOf(i), PRECISION);
            sum = sum.add(term, PRECISION);
        }
        for (int i = 0; i < halvings; i++) {
            sum = sum.multiply(sum, PRECISION);
        }
        return sum;
    }

    /**
     * The logarithm of 1 + x for x ≥ 0: {@code 2·(z + z³/3 + z⁵/5 + …)} with {@code z = x/(2 + x)}. It keeps all digits
     * however small x is.
     */
    private static BigDecimal log1p(BigDecimal x) {
        BigDecimal z = x.divide(x.add(TWO), PRECISION);
        BigDecimal square = z.multiply(z, PRECISION);
        BigDecimal sum = BigDecimal.ZERO;
        BigDecimal power = z;
        for (int i = 1; power.compareTo(sum.multiply(NEGLIGIBLE)) > 0; i += 2) {
            sum = sum.add(power.divide(BigDecimal.valueOf(i), PRECISION), PRECISION);
            power = power.multiply(square, PRECISION);
        }
        return sum.multiply(TWO);
    }
}
