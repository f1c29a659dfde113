package io.github.backnorm.benchmarks;

import io.github.backnorm.Layer;
import io.github.backnorm.Matrix;
import io.github.backnorm.Parameter;
import java.util.List;

/** Refuses a peer that computes something else than Backnorm. Norms are Frobenius'. */
final class Agreement {
    private Agreement() {}

    /** The bound γₖ on the relative error of k roundings by at most u (N. J. Higham, 2002, §3.1). */
    private static double gamma(double k, double u) {
        return k * u / (1 - k * u);
    }

    /**
     * Both products are within {@code γₖ·|A|·|B|} of the exact one (Higham, §3.5), and {@code ‖|A|·|B|‖ ≤ ‖A‖·‖B‖}.
     *
     * @param u the peer's unit roundoff; Backnorm's is not larger
     */
    static void requireProduct(Matrix a, Matrix b, Matrix product, double u) {
        require("product", product, a.times(b), 2 * gamma(a.columns(), u) * norm(a) * norm(b));
    }

    /**
     * Sums of k terms of random signs are about √k smaller than the sums of their sizes, and their rounding errors
     * about √k smaller than their bounds: {@code γₖ‖Y‖} is to be expected of a product of random matrices, and γ of all
     * sums together of layers in a chain.
     */
    static void requireOutput(Layer layer, Matrix actual, Matrix expected, double u) {
        require("output", actual, expected, tolerance(layer, expected.rows(), u) * norm(expected));
    }

    /**
     * An entry next to 0 may pass a ReLU in one computation and not in the other. With a relative error δ in normalized
     * entries that is a share of at most δ of them, which carries a share of √δ of the gradient's norm. The bias before
     * a batch norm has no gradient but rounding errors, so what counts is the norm of all gradients together.
     */
    static void requireGradients(Layer layer, int rows, List<Matrix> actual, List<Matrix> expected, double u) {
        double norm = Math.sqrt(expected.stream()
                .mapToDouble(gradient -> norm(gradient) * norm(gradient))
                .sum());
        for (int i = 0; i < expected.size(); i++) {
            require("gradient " + i, actual.get(i), expected.get(i), Math.sqrt(tolerance(layer, rows, u)) * norm);
        }
    }

    /** γ of the lengths of all sums: over a parameter's rows and columns, and over the batch. */
    private static double tolerance(Layer layer, int rows, double u) {
        int terms = 1;
        for (Parameter parameter : layer.parameters()) {
            terms += rows + parameter.value().rows() + parameter.value().columns();
        }
        return gamma(terms, u);
    }

    private static void require(String what, Matrix actual, Matrix expected, double tolerance) {
        double error = norm(actual.minus(expected));
        if (!(error <= tolerance)) {
            throw new IllegalStateException(
                    what + " of the peer is off by " + error + ", expected at most " + tolerance);
        }
    }

    private static double norm(Matrix matrix) {
        return Math.sqrt(matrix.hadamard(matrix).sum());
    }
}
