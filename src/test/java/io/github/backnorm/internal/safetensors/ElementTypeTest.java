package io.github.backnorm.internal.safetensors;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
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

    @ParameterizedTest
    @ValueSource(longs = {0, -1, 1L << 53, -(1L << 53)})
    void putAndGet_integerUpTo2To53_isKept(long value) throws FormatFault {
        ElementType.I64.put((double) value, buffer.clear());
        assertThat(buffer.getLong(0)).isEqualTo(value);
        assertThat(ElementType.I64.get(buffer.flip())).isEqualTo((double) value);
    }

    @ParameterizedTest
    @ValueSource(longs = {(1L << 53) + 1, -(1L << 53) - 1, Long.MIN_VALUE, Long.MAX_VALUE})
    void get_integerBeyond2To53_refused(long value) {
        buffer.putLong(value).flip();
        assertThatThrownBy(() -> ElementType.I64.get(buffer))
                .isInstanceOf(FormatFault.class)
                .hasMessage(
                        "a value is " + value + ", expected at most 2^53 in magnitude, beyond which doubles have gaps");
    }

    @Test
    void put_nan_isOneNanWhateverItsBits() {
        double payload = Double.longBitsToDouble(0xFFF8_0000_0000_0001L);
        ElementType.F64.put(payload, buffer.clear());
        assertThat(buffer.getLong(0)).isEqualTo(Double.doubleToLongBits(Double.NaN));
    }
}
