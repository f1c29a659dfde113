package io.github.backnorm;

/**
 * The precision in which an {@link Affine} layer multiplies. All else is in double always: weights, biases, gradients,
 * batch norm, losses, optimizers. So {@link #SINGLE} is what others call mixed precision with master weights in double.
 */
public enum Precision {
    /** Products in double, as {@link Matrix#times(Matrix)} forms them. */
    DOUBLE,

    /**
     * Products in single precision: up to twice as fast, with about seven digits.
     *
     * <p>The entries of both operands are rounded to floats, to nearest. An entry of the product is a chain {@code acc
     * = fma(a, b, acc)} in floats, which starts at +0.0f and runs over the inner index in increasing order. A chain has
     * 1,024 terms; where there are more, the next chain begins. The chains are added in double, in order. So the bits
     * are the same on every machine and for any number of threads.
     *
     * <p>With k terms, {@code q = min(k, 1024) + 3} and {@code u = 2⁻²⁴}, the error of an entry is at most {@code
     * q·u/(1 − q·u)·(|A|·|B|)}, barring overflow and underflow (after Higham, 2002, <i>Accuracy and Stability of
     * Numerical Algorithms</i>, §3.5). Operands and sums of more than 3.4e38 in magnitude become ±Infinity; a batch
     * norm behind the layer then refuses the batch. Operands of less than 1.2e-38 lose digits, of less than 7e-46 all.
     */
    SINGLE
}
