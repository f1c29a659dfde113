package io.github.backnorm;

import io.github.backnorm.internal.Updates;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.WeakHashMap;
import java.util.function.Function;

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
 * {@link #state} and {@link #restore} save and resume it.
 *
 * <p>In every 64th step of a parameter, entries of its b, m and v that are below the smallest normal number 2⁻¹⁰²² in
 * magnitude become 0. Where gradients have stayed 0 they would otherwise decay to subnormal numbers and remain so, and
 * most processors are slow with those. By that a weight changes, in all later steps together, by less than
 * η·2⁻¹⁰²²/(1 − μ), or with Adam η·2⁻¹⁰²²/((1 − β₁)²·ε), which a weight of usual size loses in rounding. The root of a
 * subnormal v is lost in the sum with ε; where ε is below 2⁻⁴³⁰, so that it may not be, v is left alone.
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
    /** Each so many steps of a parameter, subnormal memory is flushed: far fewer than memory takes to become so. */
    private static final int FLUSH_INTERVAL = 64;

    private static final String STEPS = "steps";

    private final String rule;
    private final Function<Matrix, Update> updates;
    private final double weightDecay;
    private double rate;
    private Map<Parameter, Update> updateOf = new WeakHashMap<>(); // parameters are equal by identity

    /** A rule together with what it remembers of one parameter. */
    private abstract static class Update {
        /** What it remembers, by name; each step changes the entries. */
        final Map<String, Matrix> memory = new LinkedHashMap<>();

        /** Makes a step, without allocating: what has begun must not fail. */
        abstract void apply(double keep, double rate, double[] w, double[] g, double[] updated);

        /** The entries of a new matrix to remember. */
        final double[] zeros(String name, int rows, int columns) {
            Matrix zeros = Matrix.zeros(rows, columns);
            memory.put(name, zeros);
            return zeros.data();
        }

        /** Whether it remembers a step; else the memory is zeros, for one that failed before it began. */
        final boolean hasSteps() {
            return memory.containsKey(STEPS) && memory.get(STEPS).get(0, 0) > 0;
        }

        /** The memory under the names that a state has for it. */
        final Map<String, Matrix> memory(String parameter) {
            Map<String, Matrix> named = new LinkedHashMap<>();
            memory.forEach((name, live) -> named.put(parameter + "." + name, live));
            return named;
        }
    }

    /** {@code updates} makes the update of a parameter with the shape of the given value. */
    private Optimizer(String rule, Function<Matrix, Update> updates, double rate, double weightDecay) {
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
        return new Optimizer("SGD", value -> new Descent(), rate, 0);
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
        return new Optimizer("SGD with momentum " + momentum, value -> new Momentum(momentum, value), rate, 0);
    }

    private static final class Descent extends Update {
        @Override
        void apply(double keep, double rate, double[] w, double[] g, double[] updated) {
            Updates.descend(keep, rate, w, g, updated);
        }
    }

    private static final class Momentum extends Update {
        private final double momentum;
        private final double[] b;
        private final double[] steps = zeros(STEPS, 1, 1);

        Momentum(double momentum, Matrix value) {
            this.momentum = momentum;
            this.b = zeros("b", value.rows(), value.columns());
        }

        @Override
        void apply(double keep, double rate, double[] w, double[] g, double[] updated) {
            Updates.descend(keep, rate, momentum, b, w, g, updated);
            if (++steps[0] % FLUSH_INTERVAL == 0) {
                Updates.flushSubnormal(b);
            }
        }
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
                value -> new Adam(beta1, beta2, epsilon, value),
                rate,
                0);
    }

    private static final class Adam extends Update {
        /** From here on, adding √v/√(1 − β₂ᵗ) ≤ 2⁻⁵¹¹/2⁻²⁷ of a subnormal v to ε gives ε, to the bit. */
        private static final double EPSILON_HIDES_SUBNORMAL = 0x1p-430;

        private final double beta1;
        private final double beta2;
        private final double epsilon;
        private final double[] m;
        private final double[] v;
        private final double[] steps = zeros(STEPS, 1, 1);

        Adam(double beta1, double beta2, double epsilon, Matrix value) {
            this.beta1 = beta1;
            this.beta2 = beta2;
            this.epsilon = epsilon;
            this.m = zeros("m", value.rows(), value.columns());
            this.v = zeros("v", value.rows(), value.columns());
        }

        @Override
        void apply(double keep, double rate, double[] w, double[] g, double[] updated) {
            double t = ++steps[0];
            double correctedRate = rate / (1 - StrictMath.pow(beta1, t));
            double root = Math.sqrt(1 - StrictMath.pow(beta2, t));
            Updates.adam(keep, correctedRate, 1 - beta1, 1 - beta2, beta2, root, epsilon, m, v, w, g, updated);
            if (t % FLUSH_INTERVAL == 0) {
                Updates.flushSubnormal(m);
                if (epsilon >= EPSILON_HIDES_SUBNORMAL) {
                    Updates.flushSubnormal(v);
                }
            }
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
     * Updates every parameter from its value and its gradient. After a refusal, or an {@link OutOfMemoryError}, all
     * parameters, and what is remembered of them, are as before. A gradient stays in place and is used again by a
     * second step without a {@code backward} between, as a line search wants it.
     *
     * @param parameters the parameters, each one once
     * @throws IllegalArgumentException if a parameter occurs twice
     * @throws IllegalStateException if a parameter has no gradient yet
     */
    public void step(List<Parameter> parameters) {
        Parameter.requireGradients(parameters, "Optimizer.step");
        double keep = 1 - rate * weightDecay;
        List<Change> changes = new ArrayList<>();
        for (Parameter parameter : parameters) { // all memory is allocated before anything changes
            Matrix value = parameter.value();
            Update update = updateOf.computeIfAbsent(parameter, absent -> updates.apply(value));
            changes.add(new Change(parameter, update, Matrix.zeros(value.rows(), value.columns())));
        }
        for (Change change : changes) {
            Parameter parameter = change.parameter;
            change.update.apply(
                    keep,
                    rate,
                    parameter.value().data(),
                    parameter.ownGradient().data(),
                    change.updated.data());
            parameter.setValue(change.updated);
        }
    }

    /** A step of one parameter, its value after it yet to be computed. */
    private record Change(Parameter parameter, Update update, Matrix updated) {}

    /**
     * {@return what is remembered of a layer's parameters, by name, for {@link #restore} of an optimizer with the same
     * rule; unmodifiable} It is empty for plain gradient descent, and has nothing of parameters that this optimizer has
     * not stepped.
     *
     * <p>The names begin with the parameter's, as in the state of a {@link Network}: {@code 0.weight.b} and {@code
     * 0.weight.steps} with momentum; {@code 0.weight.m}, {@code 0.weight.v} and {@code 0.weight.steps} with Adam, where
     * steps is the 1×1 matrix of t. Where one layer, made of others, lists several parameters of one name, the second
     * is {@code weight.1}, the third {@code weight.2}.
     *
     * <p>The rule with its constants, the weight decay and the rate are not part of it: your code makes the optimizer,
     * and sets the rate that its schedule has for the step or epoch at which it resumes.
     *
     * @param layer the network, or another layer
     */
    public Map<String, Matrix> state(Layer layer) {
        Checks.requireNonNull(layer, "Optimizer.state", "layer");
        Map<String, Matrix> state = new LinkedHashMap<>();
        Network.parametersByName(layer).forEach((name, parameter) -> {
            Update update = updateOf.get(parameter);
            if (update != null && update.hasSteps()) {
                update.memory(name)
                        .forEach((what, live) -> state.put(what, Matrix.of(live.rows(), live.columns(), live.data())));
            }
        });
        return Collections.unmodifiableMap(state);
    }

    /**
     * Replaces what is remembered of a layer's parameters, all of it or nothing. A training run that goes on from here,
     * with the state of the layer {@linkplain Layer#restore restored} too and the same batches and rates, ends with the
     * same bits as one that was not interrupted. A parameter of which the state has nothing begins afresh. Parameters
     * of other layers are left alone.
     *
     * @param layer the layer, made in the same way as the one whose state was taken
     * @param state names and matrices as {@link #state} returns them
     * @throws IllegalArgumentException if a name is unexpected, as in the state of another rule; if a part of what
     *     belongs to a parameter is missing or has another shape; if a number of steps is not a whole number from 1 to
     *     2⁵³, or an entry of v is negative; the message lists every such fault
     */
    public void restore(Layer layer, Map<String, Matrix> state) {
        Checks.requireNonNull(layer, "Optimizer.restore", "layer");
        Map<String, Matrix> copy = new LinkedHashMap<>(Checks.requireNonNull(state, "Optimizer.restore", "state"));
        Map<String, Parameter> parameters = Network.parametersByName(layer);
        Map<Parameter, Update> restored = new HashMap<>();
        Map<String, Matrix> memories = new LinkedHashMap<>();
        parameters.forEach((name, parameter) -> {
            Update update = updates.apply(parameter.value());
            Map<String, Matrix> memory = update.memory(name);
            if (!Collections.disjoint(memory.keySet(), copy.keySet())) {
                memories.putAll(memory);
                restored.put(parameter, update);
            }
        });
        requireState(copy, memories);
        memories.forEach(
                (name, live) -> System.arraycopy(copy.get(name).data(), 0, live.data(), 0, live.data().length));
        Map<Parameter, Update> all = new WeakHashMap<>(updateOf);
        parameters.values().forEach(all::remove);
        all.putAll(restored);
        updateOf = all;
    }

    private static void requireState(Map<String, Matrix> state, Map<String, Matrix> expected) {
        List<String> faults = Checks.stateFaults(state, expected);
        for (String name : expected.keySet()) {
            Matrix given = state.get(name);
            int index = given == null ? -1 : firstImpossible(name, given.data());
            if (index >= 0) {
                faults.add(Checks.entry(given, index, name) + " is " + given.data()[index] + ", expected "
                        + (name.endsWith(".v") ? "at least 0" : "a whole number from 1 to 2⁵³"));
            }
        }
        Checks.requireNone(faults, "Optimizer.restore");
    }

    /** The index of the first entry that no step leaves, −1 if there is none. */
    private static int firstImpossible(String name, double[] entries) {
        for (int i = 0; i < entries.length; i++) {
            double entry = entries[i];
            boolean whole = entry >= 1 && entry <= 0x1p53 && entry == Math.rint(entry);
            if (name.endsWith(".steps") ? !whole : name.endsWith(".v") && entry < 0) {
                return i;
            }
        }
        return -1;
    }

    /** {@return the rule with its constants, the rate and the weight decay} */
    @Override
    public String toString() {
        return rule + ", rate " + rate + ", weight decay " + weightDecay;
    }
}
