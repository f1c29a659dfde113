package io.github.backnorm;

import io.github.backnorm.internal.Updates;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.WeakHashMap;
import java.util.function.IntFunction;

/**
 * Updates parameters by their gradients: stochastic gradient descent, plain or with momentum, or Adam.
 *
 * <p>A {@link #step} computes, entry by entry, with w the value of a parameter, g its gradient and η the learning rate,
 * <pre>{@code
 * sgd(η)              w ← w − η·g
 * sgd(η, μ)           b ← μ·b + g                        b begins at 0
 *                     w ← w − η·b
 * adam(η, β₁, β₂, ε)  m ← m + (1 − β₁)·(g − m)           m begins at 0
 *                     v ← β₂·v + (1 − β₂)·g²             v begins at 0
 *                     w ← w − η/(1 − β₁ᵗ)·m/(√v/√(1 − β₂ᵗ) + ε)   in the parameter's step t = 1, 2, …
 * }</pre>
 * These are PyTorch's {@code SGD} (without dampening and Nesterov's variant) and {@code Adam}. With {@linkplain
 * #withWeightDecay weight decay λ} the w on the right is (1 − η·λ)·w. Each product that is added to something is a
 * fused multiply-add, so {@code sgd(η)} is {@link Matrix#plusScaled w.plusScaled(−η, g)} to the bit. NaN and ±Infinity
 * pass through IEEE 754 arithmetic.
 *
 * <p>Each {@link Parameter} object has its own b, m, v and t, from its first step on: one array of the parameter's size
 * for momentum, two for Adam. They are kept while both the optimizer and the parameter exist. So one optimizer may
 * serve several networks, and several may serve one: one with decay for the weights, say, and one without for the rest.
 *
 * <p>References: B. T. Polyak, 1964, Some methods of speeding up the convergence of iteration methods, USSR Comput.
 * Math. Math. Phys. 4(5). D. P. Kingma, J. Ba, 2015, <a href="https://arxiv.org/abs/1412.6980">Adam: a method for
 * stochastic optimization</a>, ICLR. I. Loshchilov, F. Hutter, 2019, <a
 * href="https://arxiv.org/abs/1711.05101">Decoupled weight decay regularization</a>, ICLR.
 *
 * <p>Threads: for one thread at a time, the one that trains. A parameter's value is replaced atomically, so other
 * threads may infer meanwhile.
 */
public final class Optimizer {
    private final String rule;
    private final IntFunction<Update> updates;
    private final double weightDecay;
    private double rate;
    private final Map<Parameter, Update> updateOf = new WeakHashMap<>(); // parameters are equal by identity

    /** A rule together with what it remembers of one parameter. */
    private interface Update {
        void apply(double keep, double rate, double[] w, double[] g, double[] updated);
    }

    /** {@code updates} makes the update of a parameter with the given number of entries. */
    private Optimizer(String rule, IntFunction<Update> updates, double rate, double weightDecay) {
        this.rule = rule;
        this.updates = updates;
        this.rate = rate;
        this.weightDecay = weightDecay;
    }

    /**
     * {@return plain gradient descent}
     *
     * @param rate the learning rate η, at least 0 and finite
     * @throws IllegalArgumentException if the rate is out of range
     */
    public static Optimizer sgd(double rate) {
        Checks.requireFiniteNotNegative(rate, "Optimizer.sgd", "rate");
        return new Optimizer("SGD", size -> Updates::descend, rate, 0);
    }

    /**
     * {@return gradient descent with momentum}
     *
     * @param rate the learning rate η, at least 0 and finite
     * @param momentum μ, at least 0 and less than 1; usually 0.9
     * @throws IllegalArgumentException if a number is outside its range
     */
    public static Optimizer sgd(double rate, double momentum) {
        Checks.requireFiniteNotNegative(rate, "Optimizer.sgd", "rate");
        Checks.requireLessThanOne(momentum, "Optimizer.sgd", "momentum");
        return new Optimizer("SGD with momentum " + momentum, size -> withMomentum(momentum, size), rate, 0);
    }

    private static Update withMomentum(double momentum, int size) {
        double[] b = new double[size];
        return (keep, rate, w, g, updated) -> Updates.descend(keep, rate, momentum, b, w, g, updated);
    }

    /**
     * {@return Adam with the usual constants, β₁ = 0.9, β₂ = 0.999, ε = 1e-8}
     *
     * @param rate the learning rate η, at least 0 and finite; often 0.001
     * @throws IllegalArgumentException if the rate is out of range
     */
    public static Optimizer adam(double rate) {
        return adam(rate, 0.9, 0.999, 1e-8);
    }

    /**
     * {@return Adam}
     *
     * <p>An entry of w whose gradient has been 0 since the first step does not change. With ε = 0, however, it becomes
     * NaN, and one whose (1 − β₂)·g² underflows, at |g| below about 5e-161, becomes infinite. Where (1 − β₂)·g²
     * overflows, v is +Infinity from then on; w stops changing, or becomes NaN where g − m overflows too.
     *
     * @param rate the learning rate η, at least 0 and finite
     * @param beta1 β₁, the decay rate of the running mean of the gradients; at least 0 and less than 1
     * @param beta2 β₂, the decay rate of the running mean of their squares; at least 0 and less than 1
     * @param epsilon ε, added to the root; at least 0 and finite
     * @throws IllegalArgumentException if a number is outside its range
     */
    public static Optimizer adam(double rate, double beta1, double beta2, double epsilon) {
        Checks.requireFiniteNotNegative(rate, "Optimizer.adam", "rate");
        Checks.requireLessThanOne(beta1, "Optimizer.adam", "beta1");
        Checks.requireLessThanOne(beta2, "Optimizer.adam", "beta2");
        Checks.requireFiniteNotNegative(epsilon, "Optimizer.adam", "epsilon");
        return new Optimizer(
                "Adam with beta1 " + beta1 + ", beta2 " + beta2 + ", epsilon " + epsilon,
                size -> new Adam(beta1, beta2, epsilon, size),
                rate,
                0);
    }

    private static final class Adam implements Update {
        private final double beta1;
        private final double beta2;
        private final double epsilon;
        private final double[] m;
        private final double[] v;
        private double t; // steps so far, a whole number

        Adam(double beta1, double beta2, double epsilon, int size) {
            this.beta1 = beta1;
            this.beta2 = beta2;
            this.epsilon = epsilon;
            this.m = new double[size];
            this.v = new double[size];
        }

        @Override
        public void apply(double keep, double rate, double[] w, double[] g, double[] updated) {
            t++;
            double correctedRate = rate / (1 - StrictMath.pow(beta1, t));
            double root = Math.sqrt(1 - StrictMath.pow(beta2, t));
            Updates.adam(keep, correctedRate, 1 - beta1, 1 - beta2, beta2, root, epsilon, m, v, w, g, updated);
        }
    }

    /**
     * {@return a new optimizer with this one's rule and rate, but no memory of its steps, that also multiplies w by
     * {@code 1 − η·λ} in each step}
     *
     * <p>The decay is decoupled: it does not pass through b, m and v (Loshchilov and Hutter). Adam with it is PyTorch's
     * {@code AdamW}. PyTorch's {@code SGD} adds λ·w to the gradient instead, which is the same without momentum only.
     *
     * @param weightDecay λ, at least 0 and finite
     * @throws IllegalArgumentException if λ is out of range
     */
    public Optimizer withWeightDecay(double weightDecay) {
        Checks.requireFiniteNotNegative(weightDecay, "Optimizer.withWeightDecay", "weightDecay");
        return new Optimizer(rule, updates, rate, weightDecay);
    }

    /** {@return the learning rate} */
    public double rate() {
        return rate;
    }

    /**
     * Replaces the learning rate, from the next step on. A schedule calls this before each step or epoch.
     *
     * @param rate the learning rate η, at least 0 and finite
     * @throws IllegalArgumentException if the rate is out of range
     */
    public void setRate(double rate) {
        this.rate = Checks.requireFiniteNotNegative(rate, "Optimizer.setRate", "rate");
    }

    /**
     * Updates every parameter from its value and its gradient. After a refusal all parameters, and what is remembered
     * of them, are as before.
     *
     * @param parameters the parameters, each one once
     * @throws IllegalArgumentException if a parameter occurs twice
     * @throws IllegalStateException if a parameter has no gradient yet
     */
    public void step(List<Parameter> parameters) {
        requireReady(parameters);
        double keep = 1 - rate * weightDecay;
        for (Parameter parameter : parameters) {
            Matrix value = parameter.value();
            double[] updated = new double[value.data().length];
            updateOf.computeIfAbsent(parameter, absent -> updates.apply(updated.length))
                    .apply(keep, rate, value.data(), parameter.ownGradient().data(), updated);
            parameter.setValue(Matrix.wrap(value.rows(), value.columns(), updated));
        }
    }

    private static void requireReady(List<Parameter> parameters) {
        Checks.requireNonNull(parameters, "Optimizer.step", "parameters");
        Set<Parameter> seen = new HashSet<>();
        for (int i = 0; i < parameters.size(); i++) {
            String what = "parameters[" + i + "]";
            Parameter parameter = Checks.requireNonNull(parameters.get(i), "Optimizer.step", what);
            what += " (" + parameter.name() + ")";
            if (!seen.add(parameter)) {
                throw Checks.occursTwice("Optimizer.step", what);
            }
            if (!parameter.hasGradient()) {
                throw Checks.noGradient("Optimizer.step", what);
            }
        }
    }

    /** {@return the rule with its constants, the rate and the weight decay} */
    @Override
    public String toString() {
        return rule + ", rate " + rate + ", weight decay " + weightDecay;
    }
}
