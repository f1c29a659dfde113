package io.github.backnorm;

/**
 * What a {@link Network} asks of a built-in layer and cannot ask of a user's: its last pass, the columns of its output
 * before it runs, and a copy.
 *
 * @param <P> what the layer remembers of a forward pass, a new object for each pass
 */
abstract class BuiltInLayer<P> implements Layer {
    /** A size that is not known yet: the rows before there is a batch, the columns behind a user's layer. */
    static final int UNKNOWN = -1;

    /** When a shape is checked: when a network is made of layers, and when a layer runs. */
    enum Method {
        NEW("new"),
        FORWARD("forward"),
        /** As FORWARD, of a block of a batch, which may have one row or none. */
        BLOCK("forward"),
        INFER("infer");

        private final String text;

        Method(String text) {
            this.text = text;
        }

        /** {@return the method's name} */
        @Override
        public String toString() {
            return text;
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

    /** The number of columns of y for an x of this shape, as far as both are known. Refuses what the method would. */
    abstract int outputColumns(int rows, int columns, Method method);

    /** An independent layer that infers as this one does now; for a network the {@link Network#folded folded} one. */
    abstract Layer copy();

    /** Refuses a matrix that is null or whose shape does not fit. */
    final void requireInput(Matrix x, Method method) {
        if (x == null) { // so that the text is formed only then
            Checks.requireNonNull(x, Checks.typeName(this) + "." + method, "x");
        }
        outputColumns(x.rows(), x.columns(), method);
    }
}
