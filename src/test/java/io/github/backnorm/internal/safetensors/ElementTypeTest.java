package io.github.backnorm.internal.safetensors;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

final class ElementTypeTest {
    private final ByteBuffer buffer = ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);

    /** The value as the standard defines it, by arithmetic instead of by bits. */
    private static double defined(int bits, int exponentBits, int fractionBits) {
        int exponent = bits >> fractionBits & ((1 << exponentBits) - 1);
        int fraction = bits & ((1 << fractionBits) - 1);
        int bias = (1 << (exponentBits - 1)) - 1;
        double sign = bits >> (exponentBits + fractionBits) == 0 ? 1 : -1;
        if (exponent == (1 << exponentBits) - 1) {
            return fraction == 0 ? sign / 0.0 : Double.NaN;
        }
        double significand = Math.scalb((double) fraction, -fractionBits) + (exponent == 0 ? 0 : 1);
        return sign * Math.scalb(significand, Math.max(exponent, 1) - bias);
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16"})
    void get_everyPatternOf16Bits_isDefinedValue(ElementType type) throws FormatFault {
        boolean half = type == ElementType.F16;
        for (int bits = 0; bits < 1 << 16; bits++) {
            double value = type.get(buffer.clear().putShort((short) bits).flip());
            assertThat(Double.doubleToLongBits(value))
                    .as("%04x", bits)
                    .isEqualTo(Double.doubleToLongBits(half ? defined(bits, 5, 10) : defined(bits, 8, 7)));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16"})
    void put_everyValueOf16Bits_givesItsPatternBack(ElementType type) throws FormatFault {
        for (int bits = 0; bits < 1 << 16; bits++) {
            double value = type.get(buffer.clear().putShort((short) bits).flip());
            type.put(value, buffer.clear());
            int expected = type == ElementType.F16 ? 0x7E00 : 0x7FC0; // the one NaN that is written
            assertThat(buffer.getShort(0) & 0xFFFF).isEqualTo(Double.isNaN(value) ? expected : bits);
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.0, -0.0, 1.5, Float.MIN_VALUE, -Float.MAX_VALUE, Double.POSITIVE_INFINITY, Double.NaN})
    void putAndGet_valueOfF32AndF64_isKept(double value) throws FormatFault {
        for (ElementType type : new ElementType[] {ElementType.F32, ElementType.F64}) {
            type.put(value, buffer.clear());
            assertThat(buffer.position()).isEqualTo(type.bytes());
            assertThat(type.get(buffer.flip())).isEqualTo(Double.valueOf(value)); // by bits
        }
    }

    static List<Arguments> integers() {
        return List.of(
                arguments("I8", Byte.MIN_VALUE, Byte.MAX_VALUE),
                arguments("U8", 0, 255),
                arguments("I16", Short.MIN_VALUE, Short.MAX_VALUE),
                arguments("U16", 0, 65_535),
                arguments("I32", Integer.MIN_VALUE, Integer.MAX_VALUE),
                arguments("U32", 0, 4_294_967_295L),
                arguments("I64", -(1L << 53), 1L << 53),
                arguments("U64", 0, 1L << 53),
                arguments("BOOL", 0, 1));
    }

    @ParameterizedTest
    @MethodSource("integers")
    void putAndGet_integer_isKeptInItsBytes(ElementType type, long least, long most) throws FormatFault {
        for (long value : new long[] {least, least + 1, least / 3, most / 2, most - 1, most}) {
            type.put((double) value, buffer.clear());
            int bytes = buffer.position();
            assertThat(bytes).isEqualTo(type.bytes());
            assertThat(buffer.array()).startsWith(Arrays.copyOf(littleEndian(value), bytes));
            assertThat(type.get(buffer.flip())).isEqualTo((double) value);
        }
    }

    private static byte[] littleEndian(long value) {
        return ByteBuffer.allocate(Long.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(value)
                .array();
    }

    @ParameterizedTest
    @CsvSource({
        "I64, 9007199254740993",
        "I64, -9007199254740993",
        "I64, -9223372036854775808",
        "I64, 9223372036854775807",
        "U64, 9007199254740993",
        "U64, 9223372036854775808",
        "U64, 18446744073709551615"
    })
    void get_integerBeyond2To53_refused(ElementType type, String value) {
        buffer.putLong(new BigInteger(value).longValue()).flip();
        assertThatThrownBy(() -> type.get(buffer))
                .isInstanceOf(FormatFault.class)
                .hasMessage("a value is " + value + ", expected at most 2^53 in magnitude, beyond which doubles have"
                        + " gaps; a filter of names leaves the tensor out: read(file, names)");
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 128, 255})
    void get_boolNeither0Nor1_refused(int value) {
        buffer.put((byte) value).flip();
        assertThatThrownBy(() -> ElementType.BOOL.get(buffer))
                .isInstanceOf(FormatFault.class)
                .hasMessage("a value is " + value + ", expected 0 or 1");
    }

    @Test
    void put_nan_isOneNanWhateverItsBits() {
        double payload = Double.longBitsToDouble(0xFFF8_0000_0000_0001L);
        ElementType.F64.put(payload, buffer.clear());
        assertThat(buffer.getLong(0)).isEqualTo(Double.doubleToLongBits(Double.NaN));
    }
}
