package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

final class ParameterTest {
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

    private void assertNoGradient() {
        assertThatIllegalStateException()
                .isThrownBy(weight::gradient)
                .withMessage("Parameter.gradient: weight has no gradient yet; call backward, which must set it");
    }
}
