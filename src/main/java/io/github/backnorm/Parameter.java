package io.github.backnorm;

/**
 * A trainable matrix of a layer and the gradient of the loss with respect to it.
 *
 * <p>A layer's {@code backward} overwrites the gradient; a training step reads it and replaces the value. Both are
 * immutable matrices: one that you have read does not change.
 *
 * <p>Threads: the value is replaced atomically, so other threads may infer while one trains. The gradient belongs to
 * the thread that trains.
 */
public final class Parameter {
    private static final double[] NONE = {};

    private final String name;
    private volatile Matrix value;
    private Matrix gradient;

    /** The array of a gradient that no caller has seen; the next gradient may be written over it. */
    private double[] spare = NONE;

    /**
     * Makes a parameter without a gradient.
     *
     * @param name the name, not empty and without dots; distinct within a layer, as the default {@link Layer#state}
     *     requires
     * @param value the initial value; every later value has its shape
     * @throws IllegalArgumentException if the name is empty or has a dot
     */
    public Parameter(String name, Matrix value) {
        Checks.requireNonNull(name, "Parameter.new", "name");
        if (name.isEmpty() || name.indexOf('.') >= 0) {
            throw Checks.refusal("Parameter.new", "name", '"' + name + '"', "a name that is not empty and has no dots");
        }
        this.name = name;
        this.value = Checks.requireNonNull(value, "Parameter.new", "value");
    }

    /** {@return the name} */
    public String name() {
        return name;
    }

    /** {@return the current value} */
    public Matrix value() {
        return value;
    }

    /**
     * Replaces the value.
     *
     * @param value a matrix of the same shape as the old one
     * @throws IllegalArgumentException if the shapes differ
     */
    public void setValue(Matrix value) {
        Checks.requireShape(value, this.value.rows(), this.value.columns(), "Parameter.setValue", name);
        this.value = value;
    }

    /**
     * {@return the gradient of the loss with respect to the value, of the value's shape, as of the last backward pass}
     *
     * @throws IllegalStateException if there has been no backward pass yet
     */
    public Matrix gradient() {
        spare = NONE;
        return ownGradient();
    }

    /** The gradient, for the library's own use: its array may be reused, so it is neither kept nor passed on. */
    Matrix ownGradient() {
        if (!hasGradient()) {
            throw Checks.noGradient("Parameter.gradient", name);
        }
        return gradient;
    }

    boolean hasGradient() {
        return gradient != null;
    }

    /**
     * An array for the next gradient: that of the current one if no caller can have it, else a new one. Until the next
     * gradient is set there is none.
     */
    double[] arrayForGradient(int length) {
        gradient = null;
        return spare.length == length ? spare : new double[length];
    }

    /**
     * Replaces the gradient. A layer calls this in {@code backward}; code that accumulates or clips gradients may too.
     *
     * @param gradient a matrix of the value's shape
     * @throws IllegalArgumentException if the shapes differ
     */
    public void setGradient(Matrix gradient) {
        Checks.requireShape(gradient, value.rows(), value.columns(), "Parameter.setGradient", name);
        this.gradient = gradient;
        spare = NONE;
    }

    /** Replaces the gradient by one of the right shape whose array no caller has. */
    void setOwnGradient(Matrix gradient) {
        this.gradient = gradient;
        spare = gradient.data();
    }

    /** {@return name and shape} */
    @Override
    public String toString() {
        return name + " " + Checks.shape(value);
    }
}
