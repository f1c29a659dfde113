package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

final class ParameterTest {
    private static final long SEED = 29;
    private static final MathContext DIGITS = new MathContext(60);
    private static final Matrix VALUE = Matrix.of(2, 3, 1, 2, 3, 4, 5, 6);
    private static final Matrix GRADIENT = Matrix.filled(2, 3, 0.5);

    private final Parameter weight = new Parameter("weight", VALUE);

    @Test
    void new_nameAndValue_keepsThem() {
        assertThat(weight.name()).isEqualTo("weight");
        assertThat(weight.value()).isSameAs(VALUE);
        assertThat(weight).hasToString("weight 2x3");
        assertThat(new Parameter("β of 2", Matrix.zeros(0, 3))).hasToString("β of 2 0x3");
    }

    static Stream<Arguments> refusedConstructions() {
        return Stream.of(
                arguments(null, VALUE, "name is null, expected a value", NullPointerException.class),
                arguments("weight", null, "value is null, expected a value", NullPointerException.class),
                arguments(
                        "",
                        VALUE,
                        "name is \"\", expected a name that is not empty and has no dots",
                        IllegalArgumentException.class),
                arguments(
                        ".",
                        VALUE,
                        "name is \".\", expected a name that is not empty and has no dots",
                        IllegalArgumentException.class),
                arguments(
                        "0.b",
                        VALUE,
                        "name is \"0.b\", expected a name that is not empty and has no dots",
                        IllegalArgumentException.class));
    }

    @ParameterizedTest(name = "{2}")
    @MethodSource("refusedConstructions")
    void new_badNameOrValue_rejected(String name, Matrix value, String fault, Class<?> type) {
        assertThatThrownBy(() -> new Parameter(name, value))
                .isExactlyInstanceOf(type)
                .hasMessage("Parameter.new: " + fault);
    }

    @Test
    void setValue_sameShape_replacesTheValueAlone() {
        weight.setGradient(GRADIENT);
        Matrix next = VALUE.plusScaled(-0.1, weight.gradient());
        weight.setValue(next);
        assertThat(weight.value()).isSameAs(next);
        assertThat(weight.gradient()).isSameAs(GRADIENT);
    }

    @Test
    void setGradient_twice_overwritesTheGradientAlone() {
        weight.setGradient(VALUE);
        weight.setGradient(GRADIENT);
        assertThat(weight.gradient()).isSameAs(GRADIENT);
        assertThat(weight.value()).isSameAs(VALUE);
    }

    @Test
    void gradient_beforeBackward_rejected() {
        assertNoGradient();
    }

    static Stream<Arguments> refusedSettings() {
        return Stream.of("setValue", "setGradient")
                .flatMap(method -> Stream.of(
                        refused(method, Matrix.zeros(3, 3), "3x3, expected 2x3", IllegalArgumentException.class),
                        refused(method, Matrix.zeros(2, 2), "2x2, expected 2x3", IllegalArgumentException.class),
                        refused(method, null, "null, expected a value", NullPointerException.class)));
    }

    private static Arguments refused(String method, Matrix matrix, String fault, Class<?> type) {
        Consumer<Parameter> setting = method.equals("setValue")
                ? parameter -> parameter.setValue(matrix)
                : parameter -> parameter.setGradient(matrix);
        return arguments("Parameter." + method + ": weight is " + fault, setting, type);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("refusedSettings")
    void setter_otherShapeOrNull_rejectedWithStateUnchanged(
            String message, Consumer<Parameter> setting, Class<?> type) {
        assertThatThrownBy(() -> setting.accept(weight))
                .isExactlyInstanceOf(type)
                .hasMessage(message);
        assertNoGradient();
        weight.setGradient(GRADIENT);
        assertThatThrownBy(() -> setting.accept(weight))
                .isExactlyInstanceOf(type)
                .hasMessage(message);
        assertThat(weight.value()).isSameAs(VALUE);
        assertThat(weight.gradient()).isSameAs(GRADIENT);
    }

    /** Entries that are not all of one sign and size, in parameters shorter and longer than the partial sums. */
    static Stream<Arguments> gradients() {
        return Stream.of(1.0, 1e-5, 1e160, 1e-170, 1e300, 1.7e308, 1e-300)
                .flatMap(scale -> Stream.of(
                        arguments(scale, 1, 1),
                        arguments(scale, 3, 5),
                        arguments(scale, 1, 513),
                        arguments(scale, 60, 70)));
    }

    @ParameterizedTest
    @MethodSource("gradients")
    void clipGradients_anyScale_scaledToTheLimit(double scale, int rows, int columns) {
        Parameter first = withGradient(Matrices.uniform(rows, columns, SEED).times(scale));
        Parameter second = withGradient(Matrices.uniform(columns, 2, SEED + 1).times(scale));
        List<Parameter> parameters = List.of(first, second);
        List<Matrix> old = parameters.stream().map(Parameter::gradient).toList();
        BigDecimal norm = norm(old);
        BigDecimal bound = BigDecimal.valueOf((columns * (rows + 2) / 1024.0 + 2 / 2 + 4) * 0x1p-53);

        for (double limit : new double[] {scale / 8, scale * 0.01}) {
            first.setGradient(old.get(0));
            second.setGradient(old.get(1));
            double found = Parameter.clipGradients(parameters, limit);
            if (norm.compareTo(BigDecimal.valueOf(Double.MAX_VALUE)) > 0) {
                assertThat(found).isEqualTo(Double.MAX_VALUE);
            } else {
                assertThat(new BigDecimal(found)).isCloseTo(norm, Offset.offset(norm.multiply(bound)));
            }
            BigDecimal largest = new BigDecimal(limit);
            List<Matrix> clipped = parameters.stream().map(Parameter::gradient).toList();
            assertThat(norm(clipped)).isCloseTo(largest, Offset.offset(largest.multiply(bound)));
            for (int i = 0; i < rows; i++) {
                for (int j = 0; j < columns; j++) {
                    BigDecimal expected = new BigDecimal(old.get(0).get(i, j))
                            .multiply(largest)
                            .divide(norm, DIGITS);
                    assertThat(new BigDecimal(clipped.get(0).get(i, j)))
                            .isCloseTo(expected, Offset.offset(expected.abs().multiply(bound)));
                }
            }
        }
    }

    private static BigDecimal norm(List<Matrix> matrices) {
        BigDecimal sum = BigDecimal.ZERO;
        for (Matrix matrix : matrices) {
            for (double entry : matrix.toArray()) {
                sum = sum.add(new BigDecimal(entry).pow(2, DIGITS), DIGITS);
            }
        }
        return sum.sqrt(DIGITS);
    }

    @Test
    void clipGradients_notLarger_leavesGradientsAlone() {
        weight.setGradient(GRADIENT); // its norm is √1.5
        List<Parameter> parameters = List.of(weight);
        double norm = Parameter.clipGradients(parameters, Double.POSITIVE_INFINITY);
        assertThat(norm).isEqualTo(Math.sqrt(1.5));
        assertThat(Parameter.clipGradients(parameters, norm)).isEqualTo(norm);
        assertThat(weight.gradient()).isSameAs(GRADIENT);
        assertThat(Parameter.clipGradients(parameters, Math.nextDown(norm))).isEqualTo(norm);
        assertThat(weight.gradient()).isNotSameAs(GRADIENT);
        assertThat(GRADIENT).isEqualTo(Matrix.filled(2, 3, 0.5));
    }

    @Test
    void clipGradients_largestNumbers_scaledAsOthers() {
        Parameter largest = withGradient(Matrix.ofRow(Double.MAX_VALUE, -Double.MAX_VALUE, 0, Double.MAX_VALUE));
        assertThat(Parameter.clipGradients(List.of(largest), Math.sqrt(3))).isEqualTo(Double.MAX_VALUE);
        // relatively 4.5u, as documented, and u of √3
        assertThat(largest.gradient().toArray())
                .containsExactly(new double[] {1, -1, 0, 1}, Offset.offset(3 * Math.ulp(1.0)));
    }

    @Test
    void clipGradients_zerosOrNothing_normIsZero() {
        Parameter zero = withGradient(Matrix.zeros(2, 3));
        Parameter empty = withGradient(Matrix.zeros(0, 3));
        assertThat(Parameter.clipGradients(List.of(), 1)).isZero();
        assertThat(Parameter.clipGradients(List.of(zero, empty), 1)).isZero();
    }

    static Stream<Arguments> notFinite() {
        double infinity = Double.POSITIVE_INFINITY;
        return Stream.of(
                arguments(Matrix.ofRow(1, -infinity), infinity),
                arguments(Matrix.ofRow(1e200, infinity), infinity),
                arguments(Matrix.ofRow(Double.NaN, 1), Double.NaN),
                arguments(Matrix.ofRow(infinity, Double.NaN), Double.NaN));
    }

    @ParameterizedTest
    @MethodSource("notFinite")
    void clipGradients_notFinite_leavesGradientsAloneAndTells(Matrix gradient, Double norm) {
        Parameter spoiled = withGradient(gradient);
        Parameter large = withGradient(Matrix.filled(1, 2, 1e200));
        Matrix old = large.gradient();
        assertThat(Parameter.clipGradients(List.of(large, spoiled), 1)).isEqualTo(norm);
        assertThat(spoiled.gradient()).isSameAs(gradient);
        assertThat(large.gradient()).isSameAs(old);
    }

    /** An array that nobody has seen is written over; one that somebody has is not. */
    @Test
    void clipGradients_ofAffine_usesItsArrayAgainIfNobodyHasIt() {
        Affine layer = new Affine(Matrix.zeros(3, 2), Matrix.zeros(1, 2));
        layer.forward(Matrix.filled(1, 3, 1));
        layer.backwardParameters(Matrix.ofRow(0, 2));
        double[] array = layer.weight().ownGradient().data();
        assertThat(Parameter.clipGradients(List.of(layer.weight()), 0.75)).isEqualTo(Math.sqrt(12));
        Matrix clipped = layer.weight().gradient();
        assertThat(clipped.data()).isSameAs(array);
        Matrix copy = Matrix.of(3, 2, clipped.toArray());

        Parameter.clipGradients(List.of(layer.weight()), 0.5);
        assertThat(clipped).isEqualTo(copy).isNotEqualTo(layer.weight().gradient());
    }

    static Stream<Arguments> refusedClips() {
        Parameter good = withGradient(GRADIENT);
        Parameter without = new Parameter("bias", Matrix.zeros(1, 2));
        String where = "Parameter.clipGradients: ";
        return Stream.of(
                arguments(null, 1, where + "parameters is null, expected a value"),
                arguments(Arrays.asList(good, null), 1, where + "parameters[1] is null, expected a value"),
                arguments(List.of(good, good), 1, where + "parameters[1] (p) occurs twice, expected once"),
                arguments(
                        List.of(good, without),
                        1,
                        where + "parameters[1] (bias) has no gradient yet; call backward, which must set it"),
                arguments(List.of(good), 0, where + "largestNorm is 0.0, expected more than 0"),
                arguments(List.of(good), -1, where + "largestNorm is -1.0, expected more than 0"),
                arguments(List.of(good), Double.NaN, where + "largestNorm is NaN, expected more than 0"));
    }

    @ParameterizedTest(name = "{2}")
    @MethodSource("refusedClips")
    void clipGradients_badListOrLimit_rejectedAndNothingChanged(
            List<Parameter> parameters, double limit, String message) {
        assertThatThrownBy(() -> Parameter.clipGradients(parameters, limit)).hasMessage(message);
        if (parameters != null) {
            assertThat(parameters.get(0).gradient()).isSameAs(GRADIENT);
        }
    }

    private static Parameter withGradient(Matrix gradient) {
        Parameter parameter = new Parameter("p", Matrix.zeros(gradient.rows(), gradient.columns()));
        parameter.setGradient(gradient);
        return parameter;
    }

    private void assertNoGradient() {
        assertThatIllegalStateException()
                .isThrownBy(weight::gradient)
                .withMessage("Parameter.gradient: weight has no gradient yet; call backward, which must set it");
    }
}
