package io.github.backnorm;

import io.github.backnorm.internal.EuclideanNorm;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

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
     * Replaces the gradient. A layer calls this in {@code backward}; code that accumulates gradients may too.
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

    /**
     * Scales the gradients of parameters so that their norm, of all entries together, is at most a given number. If it
     * is already, or is NaN or infinite, they stay as they are. Matrices that {@link #gradient} has returned do not
     * change.
     *
     * <p>The norm is returned as it was before: {@code √(Σ g²)}, with {@code Double.MAX_VALUE} in place of what is
     * larger. So it is finite exactly if all gradients are, and a step is safe:
     * <pre>{@code
     * if (Double.isFinite(Parameter.clipGradients(parameters, 1.0))) {
     *     optimizer.step(parameters);
     * }
     * }</pre>
     * With n entries in p parameters and {@code u = 2⁻⁵³}, the relative error of the norm, and the part by which the
     * norm of scaled gradients may exceed its limit, are at most {@code (n/1024 + p/2 + 4)·u} to first order, barring
     * underflow of the norm or the scaled entries. Squares neither overflow nor underflow.
     *
     * @param parameters the parameters, each one once
     * @param largestNorm the limit, more than 0; {@code Double.POSITIVE_INFINITY} to get the norm only
     * @return the norm before
     * @throws IllegalArgumentException if the limit is out of range or a parameter occurs twice
     * @throws IllegalStateException if a parameter has no gradient yet
     */
    public static double clipGradients(List<Parameter> parameters, double largestNorm) {
        requireGradients(parameters, "Parameter.clipGradients");
        if (!(largestNorm > 0)) {
            throw Checks.refusal("Parameter.clipGradients", "largestNorm", largestNorm, "more than 0");
        }
        EuclideanNorm norm = EuclideanNorm.of(
                parameters.stream().map(parameter -> parameter.gradient.data()).toList());
        if (norm.isFinite() && norm.value() > largestNorm) {
            for (Parameter parameter : parameters) {
                double[] old = parameter.gradient.data();
                double[] scaled = parameter.spare == old ? old : new double[old.length];
                norm.scaleTo(largestNorm, old, scaled);
                parameter.setOwnGradient(Matrix.wrap(parameter.value.rows(), parameter.value.columns(), scaled));
            }
        }
        return norm.isFinite() ? Math.min(norm.value(), Double.MAX_VALUE) : norm.value();
    }

    /** Requires parameters that differ and have gradients. */
    static void requireGradients(List<Parameter> parameters, String where) {
        Checks.requireNonNull(parameters, where, "parameters");
        Set<Parameter> seen = new HashSet<>();
        for (int i = 0; i < parameters.size(); i++) {
            String what = "parameters[" + i + "]";
            Parameter parameter = Checks.requireNonNull(parameters.get(i), where, what);
            what += " (" + parameter.name() + ")";
            if (!seen.add(parameter)) {
                throw Checks.occursTwice(where, what);
            }
            if (!parameter.hasGradient()) {
                throw Checks.noGradient(where, what);
            }
        }
    }

    /** {@return name and shape} */
    @Override
    public String toString() {
        return name + " " + Checks.shape(value);
    }
}
