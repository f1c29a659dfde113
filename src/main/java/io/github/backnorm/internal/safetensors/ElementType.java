package io.github.backnorm.internal.safetensors;

import java.nio.ByteBuffer;

/**
 * The element types of a {@link SafetensorsFile}. Tensors are written in this order, the larger elements first, so that
 * every tensor begins at a multiple of its element's size. It is the order of the format's own library.
 *
 * <p>{@code get} returns the exact value as a double. {@code put} takes only values that {@code get} returns, so
 * nothing is rounded here. The payload and sign of NaN are not kept.
 */
public enum ElementType {
    U64(Long.BYTES, false),
    I64(Long.BYTES, true),

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

    U32(Integer.BYTES, false),
    I32(Integer.BYTES, true),

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
    },

    U16(Short.BYTES, false),
    I16(Short.BYTES, true),
    I8(Byte.BYTES, true),
    U8(Byte.BYTES, false),

    BOOL(Byte.BYTES, false) {
        @Override
        double get(ByteBuffer from) throws FormatFault {
            double value = super.get(from);
            if (value > 1) {
                throw new FormatFault("a value", (int) value, "0 or 1");
            }
            return value;
        }
    };

    private static final long MAX_EXACT = 1L << 53;
    private static final int REBIAS = 1023 - 15; // from F16's bias to double's

    private final int bytes;
    private final boolean signed;

    /** A type of floating-point numbers. */
    ElementType(int bytes) {
        this(bytes, true);
    }

    /** A type of integers. */
    ElementType(int bytes, boolean signed) {
        this.bytes = bytes;
        this.signed = signed;
    }

    /** The size of an element in bytes. */
    int bytes() {
        return bytes;
    }

    double get(ByteBuffer from) throws FormatFault {
        long extended = switch (bytes) {
            case Byte.BYTES -> from.get();
            case Short.BYTES -> from.getShort();
            case Integer.BYTES -> from.getInt();
            default -> from.getLong();
        };
        int unused = Long.SIZE - Byte.SIZE * bytes;
        long value = signed ? extended : extended << unused >>> unused; // a U64 beyond long is negative here
        if (value > MAX_EXACT || value < (signed ? -MAX_EXACT : 0)) {
            throw new FormatFault(
                    "a value",
                    signed ? Long.toString(value) : Long.toUnsignedString(value),
                    "at most 2^53 in magnitude, beyond which doubles have gaps; " + FormatFault.LEAVE_OUT);
        }
        return value;
    }

    void put(double value, ByteBuffer to) {
        long integer = (long) value;
        switch (bytes) {
            case Byte.BYTES -> to.put((byte) integer);
            case Short.BYTES -> to.putShort((short) integer);
            case Integer.BYTES -> to.putInt((int) integer);
            default -> to.putLong(integer);
        }
    }
}
