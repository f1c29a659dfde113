package io.github.backnorm;

import java.util.List;

/** A layer as a user writes it, with the public API alone: {@code y_kl = x_kl·s_l}, where s is 1×L. */
final class Scale implements Layer {
    private final Parameter factor;
    private Pass pass;

    private record Pass(Matrix x, Matrix s) {}

    Scale(Matrix factor) {
        this(new Parameter("factor", factor));
    }

    Scale(Parameter factor) {
        this.factor = factor;
    }

    Parameter factor() {
        return factor;
    }

    @Override
    public List<Parameter> parameters() {
        return List.of(factor);
    }

    @Override
    public Matrix forward(Matrix x) {
        pass = null;
        Matrix s = factor.value();
        Matrix y = scaled(x, s, "forward");
        pass = new Pass(x, s);
        return y;
    }

    @Override
    public Matrix infer(Matrix x) {
        return scaled(x, factor.value(), "infer");
    }

    @Override
    public Matrix backward(Matrix dy) {
        if (pass == null) {
            throw new IllegalStateException("Scale.backward: no forward pass");
        }
        factor.setGradient(pass.x.hadamard(dy).columnSums());
        return scaled(dy, pass.s, "backward");
    }

    private static Matrix scaled(Matrix x, Matrix s, String method) {
        if (x.columns() != s.columns()) {
            throw new IllegalArgumentException(
                    "Scale." + method + ": x has " + x.columns() + " columns, expected " + s.columns());
        }
        return Matrix.generate(x.rows(), x.columns(), (i, j) -> x.get(i, j) * s.get(0, j));
    }
}
