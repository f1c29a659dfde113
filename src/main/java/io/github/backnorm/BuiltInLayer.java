package io.github.backnorm;

/** What a {@link Network} knows of the library's own layers and cannot ask of a user's. */
abstract class BuiltInLayer implements Layer {
    /** The number of columns is known only to a layer that is not built in. */
    static final int UNKNOWN = -1;

    /**
     * The number of columns that a method gives for an x of this shape; refuses the shape as the method would.
     *
     * @param method "forward" or "infer"
     */
    abstract int outputColumns(int rows, int columns, String method);

    /** The record of the last forward pass, a new object each time; null if there is none. */
    abstract Object pass();

    /** Forgets the last forward pass. */
    abstract void forget();

    /** A layer of its own that infers as this one does now; of a network, the {@linkplain Network#folded folded} one. */
    abstract Layer copy();

    /** As {@link #outputColumns(int, int, String)} for a matrix that may be null. */
    final int outputColumns(Matrix x, String method) {
        Checks.requireNonNull(x, Checks.typeName(this) + "." + method, "x");
        return outputColumns(x.rows(), x.columns(), method);
    }
}
