package io.github.backnorm;

import java.util.Locale;

/**
 * What a {@link Network} knows of the library's own layers and cannot ask of a user's.
 *
 * @param <P> what the layer remembers of a forward pass, a new object each time
 */
abstract class BuiltInLayer<P> implements Layer {
    /** The number of columns is known only to a layer that is not built in. */
    static final int UNKNOWN = -1;

    /** A way to run a layer. */
    enum Method {
        FORWARD,
        INFER;

        /** {@return the method's name} */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private P pass;

    /** The last forward pass; null if there is none. */
    final P pass() {
        return pass;
    }

    final void remember(P pass) {
        this.pass = pass;
    }

    /** Forgets the last forward pass. */
    void forget() {
        pass = null;
    }

    /** The last forward pass; an IllegalStateException if there is none. */
    final P requirePass() {
        if (pass == null) {
            throw new IllegalStateException(Checks.typeName(this)
                    + ".backward: no forward pass to differentiate; call forward(x) before backward(dy)");
        }
        return pass;
    }

    /** The number of columns that a method gives for an x of this shape. Refuses the shape as the method would. */
    abstract int outputColumns(int rows, int columns, Method method);

    /** A layer of its own that infers as this one does now; of a network, the {@linkplain Network#folded folded} one. */
    abstract Layer copy();

    /** Refuses a matrix that is null or whose shape does not fit. */
    final void requireInput(Matrix x, Method method) {
        if (x == null) {
            Checks.requireNonNull(x, Checks.typeName(this) + "." + method, "x");
        }
        outputColumns(x.rows(), x.columns(), method);
    }
}
