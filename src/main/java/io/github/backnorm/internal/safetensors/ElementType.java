package io.github.backnorm.internal.safetensors;

import java.nio.ByteBuffer;

/**
 * The element types of a {@link SafetensorsFile}. Tensors are written in this order, the larger elements first, so that
 * every tensor begins at a multiple of its element's size.
 *
 * <p>{@code get} returns the exact value as a double. {@code put} takes only values that {@code get} returns, so
 * nothing is rounded here. The payload and sign of NaN are not kept.
 */
public enum ElementType {
    I64(Long.BYTES) {
        @Override
        double get(ByteBuffer from) throws FormatFault {
            long value = from.getLong();
            if (value < -MAX_EXACT || value > MAX_EXACT) {
                throw new FormatFault("a value", value, "at most 2^53 in magnitude, beyond which doubles have gaps");
            }
            return value;
        }

        @Override
        void put(double value, ByteBuffer to) {
            to.putLong((long) value);
        }
    },

    F64(Double.BYTES) {
        @Override
        double get(ByteBuffer from) {
            return from.getDouble();
        }

        @Override
        void put(double value, ByteBuffer to) {
            to.putLong(Double.doubleToLongBits(value));
        }
    },

    F32(Float.BYTES) {
        @Override
        double get(ByteBuffer from) {
            return from.getFloat();
        }

        @Override
        void put(double value, ByteBuffer to) {
            to.putInt(Float.floatToIntBits((float) value));
        }
    },

    /** The upper half of an F32. */
    BF16(Short.BYTES) {
        @Override
        double get(ByteBuffer from) {
            return Float.intBitsToFloat(from.getShort() << 16);
        }

        @Override
        void put(double value, ByteBuffer to) {
            to.putShort((short) (Float.floatToIntBits((float) value) >> 16));
        }
    },

    /** IEEE 754 binary16: 1 bit of sign, 5 of exponent with bias 15, 10 of fraction. */
    F16(Short.BYTES) {
        @Override
        double get(ByteBuffer from) {
            int bits = from.getShort();
            int exponent = bits >> 10 & 0x1F;
            int fraction = bits & 0x3FF;
            double magnitude;
            if (exponent == 0) {
                magnitude = fraction * 0x1p-24; // subnormal
            } else if (exponent == 0x1F) {
                magnitude = fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
            } else {
                magnitude = Double.longBitsToDouble((long) (exponent + REBIAS) << 52 | (long) fraction << 42);
            }
            return bits < 0 ? -magnitude : magnitude;
        }

        @Override
        void put(double value, ByteBuffer to) {
            double magnitude = Math.abs(value);
            long wide = Double.doubleToLongBits(magnitude);
            int bits;
            if (magnitude < 0x1p-14) {
                bits = (int) (magnitude * 0x1p24); // subnormal
            } else if (magnitude < Double.POSITIVE_INFINITY) {
                bits = (int) (wide >> 42) - (REBIAS << 10);
            } else {
                bits = Double.isNaN(value) ? 0x7E00 : 0x7C00;
            }
            int sign = (int) (Double.doubleToLongBits(value) >>> 48) & 0x8000;
            to.putShort((short) (sign | bits));
        }
    };

    private static final long MAX_EXACT = 1L << 53;
    private static final int REBIAS = 1023 - 15; // from F16's bias to double's

    private final int bytes;

    ElementType(int bytes) {
        this.bytes = bytes;
    }

    /** The size of an element in bytes. */
    int bytes() {
        return bytes;
    }

    abstract double get(ByteBuffer from) throws FormatFault;

    abstract void put(double value, ByteBuffer to);
}
