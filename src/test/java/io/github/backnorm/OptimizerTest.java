package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.github.backnorm.internal.ChildJvm;
import java.io.IOException;
import java.lang.ref.WeakReference;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

final class OptimizerTest {
    private static final long SEED = 83;
    private static final double NAN = Double.NaN;
    private static final double INFINITY = Double.POSITIVE_INFINITY;

    /** One entry of a parameter, step by step, as the class comment of Optimizer says. */
    private interface Entry {
        double step(double w, double g, double rate);
    }

    private static Supplier<Entry> sgd(double decay) {
        return () -> (w, g, rate) -> Math.fma(-rate, g, (1 - rate * decay) * w);
    }

    private static Supplier<Entry> momentum(double momentum, double decay) {
        return () -> new Entry() {
            private double b;

            @Override
            public double step(double w, double g, double rate) {
                b = Math.fma(momentum, b, g);
                return Math.fma(-rate, b, (1 - rate * decay) * w);
            }
        };
    }

    private static Supplier<Entry> adam(double beta1, double beta2, double epsilon, double decay) {
        return () -> new Entry() {
            private double m;
            private double v;
            private int t;

            @Override
            public double step(double w, double g, double rate) {
                t++;
                m = Math.fma(1 - beta1, g - m, m);
                v = Math.fma((1 - beta2) * g, g, beta2 * v);
                double denominator = Math.sqrt(v) / Math.sqrt(1 - StrictMath.pow(beta2, t)) + epsilon;
                double correctedRate = rate / (1 - StrictMath.pow(beta1, t));
                return Math.fma(-correctedRate, m / denominator, (1 - rate * decay) * w);
            }
        };
    }

    private static Arguments rule(Optimizer optimizer, Supplier<Entry> entries) {
        return arguments(optimizer, entries);
    }

    static Stream<Arguments> rules() {
        return Stream.of(
                rule(Optimizer.sgd(0.1), sgd(0)),
                rule(Optimizer.sgd(0.1).withWeightDecay(0.3), sgd(0.3)),
                rule(Optimizer.sgd(0.1, 0), momentum(0, 0)),
                rule(Optimizer.sgd(0.1, 0.9), momentum(0.9, 0)),
                rule(Optimizer.sgd(0.1, 0.9).withWeightDecay(0.3), momentum(0.9, 0.3)),
                rule(Optimizer.adam(0.1), adam(0.9, 0.999, 1e-8, 0)),
                rule(Optimizer.adam(0.1, 0.7, 0.8, 1e-3), adam(0.7, 0.8, 1e-3, 0)),
                rule(Optimizer.adam(0.1, 0, 0, 0), adam(0, 0, 0, 0)),
                rule(Optimizer.adam(0.1).withWeightDecay(0.3), adam(0.9, 0.999, 1e-8, 0.3)));
    }

    /** Also with lengths that no vector divides, and with special values. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("rules")
    void step_severalWithChangingRate_sameBitsAsRuleEntryByEntry(Optimizer optimizer, Supplier<Entry> entries) {
        Parameter weight = new Parameter("weight", Matrices.uniform(13, 5, SEED));
        Parameter bias = new Parameter("bias", Matrix.ofRow(0.0, -0.0, 1, NAN, INFINITY, 2, 3, 4));
        Parameter empty = new Parameter("empty", Matrix.zeros(0, 3));
        List<Parameter> parameters = List.of(weight, bias, empty);
        Entry[] weights = Stream.generate(entries).limit(13 * 5).toArray(Entry[]::new);
        Entry[] biases = Stream.generate(entries).limit(8).toArray(Entry[]::new);
        for (int step = 0; step < 20; step++) {
            double rate = 0.1 / (1 + step);
            optimizer.setRate(rate);
            weight.setGradient(Matrices.uniform(13, 5, SEED + 1 + step));
            bias.setGradient(Matrix.ofRow(0.0, -0.0, 1e-200, 1, 1, NAN, -INFINITY, 1e200));
            empty.setGradient(empty.value());
            Matrix expectedWeight = stepped(weights, weight, rate);
            Matrix expectedBias = stepped(biases, bias, rate);
            optimizer.step(parameters);
            assertThat(weight.value()).as("seed %d, step %d", SEED, step).isEqualTo(expectedWeight);
            assertThat(bias.value()).as("step %d", step).isEqualTo(expectedBias);
            assertThat(empty.value()).isEqualTo(Matrix.zeros(0, 3));
        }
    }

    private static Matrix stepped(Entry[] entries, Parameter parameter, double rate) {
        Matrix value = parameter.value();
        Matrix gradient = parameter.gradient();
        return Matrix.generate(
                value.rows(),
                value.columns(),
                (i, j) -> entries[i * value.columns() + j].step(value.get(i, j), gradient.get(i, j), rate));
    }

    @Test
    void step_plainDescent_sameBitsAsPlusScaled() {
        Parameter parameter = parameter(1);
        Matrix expected = parameter.value().plusScaled(-0.3, parameter.gradient());
        Optimizer.sgd(0.3).step(List.of(parameter));
        assertThat(parameter.value()).isEqualTo(expected);
    }

    @Test
    void step_anyRule_leavesOldValueAndGradientAsTheyWere() {
        Parameter parameter = parameter(1);
        Matrix value = parameter.value();
        Matrix gradient = parameter.gradient();
        Optimizer.adam(0.3).step(List.of(parameter));
        assertThat(parameter.gradient())
                .isSameAs(gradient)
                .isEqualTo(parameter(1).gradient());
        assertThat(value).isEqualTo(parameter(1).value()).isNotEqualTo(parameter.value());
    }

    /** Parameters equal but for their identity; momentum makes a second step longer than a first. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("remembering")
    void step_parametersJoinLater_eachRemembersItsOwnSteps(Supplier<Optimizer> newOptimizer) {
        Parameter alone = parameter(1);
        Optimizer own = newOptimizer.get();
        own.step(List.of(alone));
        Matrix afterOne = alone.value();
        own.step(List.of(alone));
        Matrix afterTwo = alone.value();

        Optimizer shared = newOptimizer.get();
        Parameter early = parameter(1);
        Parameter late = parameter(1);
        shared.step(List.of(early));
        shared.step(List.of(late, early));
        assertThat(early.value()).isEqualTo(afterTwo);
        assertThat(late.value()).isEqualTo(afterOne);
        shared.step(List.of(late));
        assertThat(late.value()).isEqualTo(afterTwo);
    }

    /** Steps a small parameter together with one for which memory lacks, then alone; prints what differs from alone. */
    static final class StepWithoutMemory {
        public static void main(String[] arguments) {
            Matrix huge = Matrix.zeros(3 << 10, 1 << 10);
            Parameter large = new Parameter("large", huge);
            large.setGradient(huge);
            Stream<Optimizer> optimizers = Stream.of(
                    Optimizer.sgd(0.1),
                    Optimizer.sgd(0.1, 0.9), // has no memory for b
                    Optimizer.adam(0.1));
            optimizers.forEach(optimizer -> {
                Scale layer = new Scale(Matrix.ofRow(1, 1));
                layer.factor().setGradient(Matrix.ofRow(2, 4));
                for (int step = 0; step < 2; step++) {
                    Matrix value = layer.factor().value();
                    Map<String, Matrix> state = optimizer.state(layer);
                    try {
                        optimizer.step(List.of(layer.factor(), large));
                        System.out.println("there is memory");
                    } catch (OutOfMemoryError expected) {
                        if (!layer.factor().value().equals(value)
                                || !optimizer.state(layer).equals(state)) {
                            System.out.println(optimizer + " has made step " + step);
                        }
                    }
                    optimizer.step(layer.parameters());
                }
            });
            System.out.println("end");
        }
    }

    /** The value of the large parameter takes 24 of 40 MB, and a new one as many. */
    @Test
    void step_noMemoryForALaterParameter_nothingChanged() {
        assertThat(ChildJvm.run(StepWithoutMemory.class, "-Xmx40m", "-XX:+UseSerialGC")
                        .lines())
                .containsExactly("end");
    }

    static Stream<Supplier<Optimizer>> remembering() {
        return Stream.of(() -> Optimizer.sgd(0.1, 0.9), () -> Optimizer.adam(0.1));
    }

    @Test
    void withWeightDecay_afterSteps_newOptimizerWithoutMemoryAndOldOneAsItWas() {
        Optimizer optimizer = Optimizer.sgd(0.5, 0.9);
        Parameter parameter = parameter(1);
        Parameter twin = parameter(1);
        optimizer.step(List.of(parameter, twin));
        optimizer.setRate(0.25);

        Optimizer decaying = optimizer.withWeightDecay(0.5);
        Matrix expected = parameter.value().times(1 - 0.25 * 0.5).plusScaled(-0.25, parameter.gradient());
        decaying.step(List.of(parameter));
        assertThat(parameter.value()).isEqualTo(expected);

        Matrix velocity = twin.gradient().plusScaled(0.9, twin.gradient());
        Matrix expectedTwin = twin.value().plusScaled(-0.25, velocity);
        optimizer.step(List.of(twin));
        assertThat(twin.value()).isEqualTo(expectedTwin);
        assertThat(decaying.rate()).isEqualTo(0.25);
        decaying.setRate(0);
        assertThat(optimizer.rate()).isEqualTo(0.25);
    }

    @Test
    void step_rateZero_changesNoValue() {
        Parameter parameter = parameter(1);
        Optimizer.adam(0).withWeightDecay(1).step(List.of(parameter));
        assertThat(parameter.value()).isEqualTo(parameter(1).value());
    }

    /** The classes of four points that no line separates. */
    @Test
    void step_withLossAndNetwork_trains() {
        Random random = new Random(SEED);
        Network network = new Network(new Affine(2, 8, random), new BatchNorm(8), new ReLU(), new Affine(8, 2, random));
        Matrix x = Matrix.of(4, 2, 0, 0, 0, 1, 1, 0, 1, 1);
        Optimizer optimizer = Optimizer.adam(0.05);
        for (int step = 0; step < 200; step++) {
            network.backwardParameters(
                    Loss.softmaxCrossEntropy(network.forward(x), 0, 1, 1, 0).gradient());
            optimizer.step(network.parameters());
        }
        Loss loss = Loss.softmaxCrossEntropy(network.infer(x), 0, 1, 1, 0);
        assertThat(loss.value()).as("seed %d", SEED).isBetween(0.0, 0.05);
    }

    @Test
    void step_parameterDroppedByAllOthers_isNotKeptByTheOptimizer() throws InterruptedException {
        Optimizer optimizer = Optimizer.adam(0.1);
        WeakReference<Parameter> dropped = new WeakReference<>(steppedOnce(optimizer));
        for (int i = 0; i < 100 && dropped.get() != null; i++) {
            System.gc();
            Thread.sleep(20);
        }
        assertThat(dropped.get()).isNull();
        assertThat(optimizer.rate()).isEqualTo(0.1); // it is still there
    }

    /** 2⁻¹⁰²² is the smallest normal number. Gradients stay 0, so memory decays. */
    @Test
    void step_memorySubnormal_flushedInEvery64thStep() {
        Matrix memory = Matrix.ofRow(0x1.8p-1022, -0x1.8p-1022, NAN, 1, 0x1p-900);
        Matrix ones = Matrix.filled(1, 5, 1);
        for (double epsilon : new double[] {1e-8, 0x1p-430, 0x1p-431, 0}) {
            for (Optimizer optimizer : List.of(Optimizer.sgd(0.1, 0.5), Optimizer.adam(0.1, 0.5, 0.5, epsilon))) {
                Scale layer = new Scale(ones);
                boolean adam = optimizer.toString().startsWith("Adam");
                optimizer.restore(
                        layer,
                        adam
                                ? Map.of(
                                        "factor.m", memory,
                                        "factor.v", memory.map(Math::abs),
                                        "factor.steps", Matrix.filled(1, 1, 62))
                                : Map.of("factor.b", memory, "factor.steps", Matrix.filled(1, 1, 62)));
                layer.factor().setGradient(Matrix.zeros(1, 5));

                optimizer.step(layer.parameters());
                String what = adam ? "factor.m" : "factor.b";
                assertThat(optimizer.state(layer).get(what))
                        .isEqualTo(Matrix.ofRow(0x0.cp-1022, -0x0.cp-1022, NAN, 0.5, 0x1p-901));
                optimizer.step(layer.parameters());
                assertThat(optimizer.state(layer).get(what)).isEqualTo(Matrix.ofRow(0, 0, NAN, 0.25, 0x1p-902));
                if (adam) {
                    double ofV = epsilon < 0x1p-430 ? 0x0.6p-1022 : 0;
                    assertThat(optimizer.state(layer).get("factor.v"))
                            .isEqualTo(Matrix.ofRow(ofV, ofV, NAN, 0.25, 0x1p-902));
                }
                if (epsilon == 1e-8) {
                    assertThat(layer.factor().value().row(0).toArray()).startsWith(1, 1);
                }
            }
        }
    }

    /** Runs across two JVMs and through a file, in each of which half of the steps is made. */
    @Test
    void restore_inAnotherJvm_endsWithTheSameBits(@TempDir Path folder) throws IOException {
        ResumedTraining whole = new ResumedTraining(1);
        whole.train(0, ResumedTraining.STEPS);

        Path file = folder.resolve("checkpoint.safetensors");
        ResumedTraining half = new ResumedTraining(1);
        half.train(0, ResumedTraining.STEPS / 2);
        half.checkpoint(ResumedTraining.STEPS / 2).writeTo(file);
        ChildJvm.run(ResumedTraining.class, "-D" + ResumedTraining.FILE + "=" + file);
        assertThat(Safetensors.read(file)).isEqualTo(whole.checkpoint(ResumedTraining.STEPS));
    }

    /** A user's layer made of layers, whose parameters repeat a name. */
    private static Layer madeOfLayers(Layer... inner) {
        return new DelegatingLayer(new Network(inner));
    }

    private static Affine affine(double weight) {
        return new Affine(Matrix.filled(1, 1, weight), Matrix.zeros(1, 1));
    }

    @Test
    void state_nestedAndRepeatedNames_toldApart() {
        Network network = new Network(affine(2), madeOfLayers(affine(3), affine(4), affine(5)), new Network(affine(6)));
        network.backward(network.forward(Matrix.filled(1, 1, 1)));
        Optimizer optimizer = Optimizer.sgd(0.1, 0.9);
        optimizer.step(network.parameters());
        Map<String, Matrix> state = optimizer.state(network);

        assertThat(state.keySet().stream().filter(name -> name.endsWith(".b")))
                .containsExactly(
                        "0.weight.b",
                        "0.bias.b",
                        "1.weight.b",
                        "1.bias.b",
                        "1.weight.1.b",
                        "1.bias.1.b",
                        "1.weight.2.b",
                        "1.bias.2.b",
                        "2.0.weight.b",
                        "2.0.bias.b");
        assertThat(state).hasSize(20).containsEntry("1.weight.1.steps", Matrix.filled(1, 1, 1));
        // b is the gradient: 720·720 over the weight
        assertThat(state.get("1.weight.1.b").get(0, 0)).isEqualTo(720.0 * 720 / 4);
        assertThat(state.get("2.0.weight.b").get(0, 0)).isEqualTo(720.0 * 720 / 6);
        assertThatThrownBy(state::clear).isInstanceOf(UnsupportedOperationException.class);
    }

    @Test
    void state_laterSteps_doNotChangeIt() {
        Scale layer = stepped(Optimizer.adam(0.1));
        Optimizer optimizer = Optimizer.adam(0.1, 0.5, 0.75, 1e-8);
        optimizer.step(layer.parameters());
        Map<String, Matrix> state = optimizer.state(layer);
        optimizer.step(layer.parameters());
        assertThat(state)
                .containsExactly(
                        Map.entry("factor.steps", Matrix.filled(1, 1, 1)),
                        Map.entry("factor.m", Matrix.ofRow(1, 2)),
                        Map.entry("factor.v", Matrix.ofRow(1, 4)));
    }

    /** A layer with gradients 2 and 4, after one step. */
    private static Scale stepped(Optimizer optimizer) {
        Scale layer = new Scale(Matrix.ofRow(1, 1));
        layer.factor().setGradient(Matrix.ofRow(2, 4));
        optimizer.step(layer.parameters());
        return layer;
    }

    @Test
    void state_neverSteppedOrPlainDescent_isEmpty() {
        Optimizer plain = Optimizer.sgd(0.1);
        Scale layer = stepped(plain);
        assertThat(plain.state(layer)).isEmpty();
        plain.restore(layer, Map.of());
        assertThat(Optimizer.adam(0.1).state(layer)).isEmpty();
    }

    /** One optimizer has the weight only. What the state does not have begins afresh; another layer is left alone. */
    @Test
    void restore_partOfTheParameters_theRestBeginsAfresh() {
        Affine layer = affine(2);
        Optimizer optimizer = Optimizer.sgd(0.5, 0.5);
        Scale other = stepped(optimizer);
        layer.weight().setGradient(Matrix.filled(1, 1, 8));
        layer.bias().setGradient(Matrix.filled(1, 1, 8));
        optimizer.step(List.of(layer.weight()));
        Map<String, Matrix> ofWeight = optimizer.state(layer);
        assertThat(ofWeight).containsOnlyKeys("weight.b", "weight.steps");

        optimizer.step(layer.parameters());
        optimizer.restore(layer, ofWeight);
        assertThat(optimizer.state(layer)).isEqualTo(ofWeight);
        assertThat(optimizer.state(other)).isNotEmpty();
        double weight = layer.weight().value().get(0, 0);
        double bias = layer.bias().value().get(0, 0);
        optimizer.step(layer.parameters());
        assertThat(layer.weight().value().get(0, 0)).isEqualTo(weight - 0.5 * (0.5 * 8 + 8));
        assertThat(layer.bias().value().get(0, 0)).isEqualTo(bias - 0.5 * 8);
    }

    static Stream<Arguments> refusedStates() {
        Matrix one = Matrix.filled(1, 1, 1);
        Matrix row = Matrix.ofRow(1, 2);
        return Stream.of(
                arguments(
                        Map.of("factor.b", row, "factor.steps", one),
                        "factor.m is missing, expected 1x2; factor.v is missing, expected 1x2; factor.b is unexpected"),
                arguments(Map.of("0.factor.m", row), "0.factor.m is unexpected"),
                arguments(
                        Map.of("factor.m", one, "factor.v", row, "factor.steps", row),
                        "factor.steps is 1x2, expected 1x1; factor.m is 1x1, expected 1x2"),
                arguments(
                        Map.of("factor.v", Matrix.ofRow(0, -1), "factor.steps", Matrix.filled(1, 1, 1.5)),
                        "factor.m is missing, expected 1x2;"
                                + " factor.steps[0,0] is 1.5, expected a whole number from 1 to 2⁵³;"
                                + " factor.v[0,1] is -1.0, expected at least 0"),
                arguments(steps(0), "factor.steps[0,0] is 0.0, expected a whole number from 1 to 2⁵³"),
                arguments(steps(NAN), "factor.steps[0,0] is NaN, expected a whole number from 1 to 2⁵³"),
                arguments(
                        steps(0x1p54),
                        "factor.steps[0,0] is 1.8014398509481984E16, expected a whole number from 1 to 2⁵³"));
    }

    private static Map<String, Matrix> steps(double steps) {
        Matrix row = Matrix.ofRow(1, 2);
        return Map.of("factor.m", row, "factor.v", row, "factor.steps", Matrix.filled(1, 1, steps));
    }

    @ParameterizedTest(name = "{1}")
    @MethodSource("refusedStates")
    void restore_badState_rejectedAndNothingChanged(Map<String, Matrix> state, String faults) {
        Optimizer optimizer = Optimizer.adam(0.1);
        Scale layer = stepped(optimizer);
        Map<String, Matrix> old = optimizer.state(layer);
        assertThatThrownBy(() -> optimizer.restore(layer, state))
                .isExactlyInstanceOf(IllegalArgumentException.class)
                .hasMessage("Optimizer.restore: " + faults);
        assertThat(optimizer.state(layer)).isEqualTo(old);
    }

    @ParameterizedTest
    @ValueSource(doubles = {1, 0x1p53})
    void restore_fewestAndMostSteps_accepted(double steps) {
        Optimizer optimizer = Optimizer.adam(0.1);
        Scale layer = stepped(optimizer);
        optimizer.restore(layer, steps(steps));
        assertThat(optimizer.state(layer)).isEqualTo(steps(steps));
    }

    @Test
    void stateAndRestore_null_rejected() {
        Optimizer optimizer = Optimizer.adam(0.1);
        assertThatThrownBy(() -> optimizer.state(null)).hasMessage("Optimizer.state: layer is null, expected a value");
        assertThatThrownBy(() -> optimizer.restore(null, Map.of()))
                .hasMessage("Optimizer.restore: layer is null, expected a value");
        assertThatThrownBy(() -> optimizer.restore(new Network(), null))
                .hasMessage("Optimizer.restore: state is null, expected a value");
    }

    private static Parameter steppedOnce(Optimizer optimizer) {
        Parameter parameter = parameter(1);
        optimizer.step(List.of(parameter));
        return parameter;
    }

    private static Parameter parameter(long seed) {
        Parameter parameter = new Parameter("weight", Matrices.uniform(3, 4, seed));
        parameter.setGradient(Matrices.uniform(3, 4, seed + 100));
        return parameter;
    }

    static Stream<Arguments> refusedLists() {
        Parameter good = parameter(1);
        Parameter without = new Parameter("bias", Matrix.zeros(1, 2));
        return Stream.of(
                arguments(
                        Arrays.asList(good, null),
                        NullPointerException.class,
                        "Optimizer.step: parameters[1] is null, expected a value"),
                arguments(
                        List.of(good, parameter(2), good),
                        IllegalArgumentException.class,
                        "Optimizer.step: parameters[2] (weight) occurs twice, expected once"),
                arguments(
                        List.of(good, without),
                        IllegalStateException.class,
                        "Optimizer.step: parameters[1] (bias) has no gradient yet;"
                                + " call backward, which must set it"));
    }

    @ParameterizedTest(name = "{2}")
    @MethodSource("refusedLists")
    void step_badList_rejectedAndNothingChanged(List<Parameter> parameters, Class<?> type, String message) {
        Optimizer optimizer = Optimizer.adam(0.1);
        Parameter good = parameters.get(0);
        Matrix value = good.value();
        assertThatThrownBy(() -> optimizer.step(parameters))
                .isExactlyInstanceOf(type)
                .hasMessage(message);
        assertThat(good.value()).isSameAs(value);

        Parameter fresh = parameter(1);
        fresh.setValue(value);
        Optimizer.adam(0.1).step(List.of(fresh));
        optimizer.step(List.of(good)); // its first step
        assertThat(good.value()).isEqualTo(fresh.value());
    }

    @Test
    void step_noList_rejected() {
        assertThatThrownBy(() -> Optimizer.sgd(0.1).step(null))
                .isExactlyInstanceOf(NullPointerException.class)
                .hasMessage("Optimizer.step: parameters is null, expected a value");
    }

    static Stream<Arguments> refusals() {
        return Stream.of(NAN, -0.1, INFINITY, -INFINITY, 1.0)
                .flatMap(bad -> Stream.of(
                                finite(bad, "sgd: rate", () -> Optimizer.sgd(bad)),
                                finite(bad, "sgd: rate", () -> Optimizer.sgd(bad, 0.9)),
                                fraction(bad, "sgd: momentum", () -> Optimizer.sgd(0.1, bad)),
                                finite(bad, "adam: rate", () -> Optimizer.adam(bad)),
                                finite(bad, "adam: rate", () -> Optimizer.adam(bad, 0.9, 0.999, 1e-8)),
                                fraction(bad, "adam: beta1", () -> Optimizer.adam(0.1, bad, 0.999, 1e-8)),
                                fraction(bad, "adam: beta2", () -> Optimizer.adam(0.1, 0.9, bad, 1e-8)),
                                finite(bad, "adam: epsilon", () -> Optimizer.adam(0.1, 0.9, 0.999, bad)),
                                finite(
                                        bad,
                                        "withWeightDecay: weightDecay",
                                        () -> Optimizer.sgd(0.1).withWeightDecay(bad)),
                                finite(
                                        bad,
                                        "setRate: rate",
                                        () -> Optimizer.sgd(0.1).setRate(bad)))
                        .flatMap(Stream::of));
    }

    /** A number that may be 1. */
    private static Arguments[] finite(double bad, String what, ThrowingCallable call) {
        return bad == 1
                ? new Arguments[0]
                : new Arguments[] {
                    arguments("Optimizer." + what + " is " + bad + ", expected at least 0 and finite", call)
                };
    }

    private static Arguments[] fraction(double bad, String what, ThrowingCallable call) {
        return new Arguments[] {
            arguments("Optimizer." + what + " is " + bad + ", expected at least 0 and less than 1", call)
        };
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("refusals")
    void optimizer_badNumber_rejected(String message, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isExactlyInstanceOf(IllegalArgumentException.class)
                .hasMessage(message);
    }

    @Test
    void setRate_refused_keepsTheOldOne() {
        Optimizer optimizer = Optimizer.sgd(0.1);
        assertThatThrownBy(() -> optimizer.setRate(NAN)).isInstanceOf(IllegalArgumentException.class);
        assertThat(optimizer.rate()).isEqualTo(0.1);
    }

    @Test
    void toString_anyRule_givesItsConstants() {
        assertThat(Optimizer.sgd(0.1)).hasToString("SGD, rate 0.1, weight decay 0.0");
        assertThat(Optimizer.sgd(0.1, 0.9)).hasToString("SGD with momentum 0.9, rate 0.1, weight decay 0.0");
        assertThat(Optimizer.adam(1e-3).withWeightDecay(0.01))
                .hasToString("Adam with beta1 0.9, beta2 0.999, epsilon 1.0E-8, rate 0.001, weight decay 0.01");
    }
}
