package io.github.backnorm.spark;

import static org.apache.spark.sql.functions.array;
import static org.apache.spark.sql.functions.col;

import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.NumericType;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.UserDefinedType;

/** The columns of a table, named c0, c1 and so on: its own names may have dots, and occur twice. */
final class Columns {
    private final StructField[] fields;
    private final Dataset<Row> numbered;
    private final String where;

    /** Refusals begin with {@code where}. */
    Columns(Dataset<Row> table, String where) {
        Objects.requireNonNull(table, where + ": table is null, expected a value");
        this.fields = table.schema().fields();
        this.numbered = table.toDF(
                IntStream.range(0, fields.length).mapToObj(i -> "c" + i).toArray(String[]::new));
        this.where = where;
    }

    StructField[] fields() {
        return fields;
    }

    Dataset<Row> numbered() {
        return numbered;
    }

    /** A column by its index. */
    static Column number(int index) {
        return col("c" + index);
    }

    /** Numeric columns as one of arrays of doubles; entries may be null. */
    Column numbers(String... names) {
        return array(Stream.of(names)
                .map(name -> number(name).cast(DataTypes.DoubleType))
                .toArray(Column[]::new));
    }

    /** A numeric column. */
    Column number(String name) {
        int i = index(name);
        if (!(fields[i].dataType() instanceof NumericType)) {
            throw refusal("column " + name, fields[i].dataType().simpleString(), "a number");
        }
        return number(i);
    }

    /** The features as one column of arrays of doubles, or of ML's vectors; entries may be null. */
    Column features(String... names) {
        DataType first = fields[index(names[0])].dataType();
        if (names.length > 1 || !holdsAll(first)) {
            return numbers(names);
        }
        Column column = number(index(names[0]));
        return first instanceof ArrayType ? column.cast(DataTypes.createArrayType(DataTypes.DoubleType)) : column;
    }

    /** Whether a column of this type can hold all features of a row. */
    static boolean holdsAll(DataType type) {
        return (type instanceof ArrayType array && array.elementType() instanceof NumericType)
                || (type instanceof UserDefinedType<?> own
                        && own.userClass().getName().equals(Scores.VECTOR));
    }

    /** The index of a column that is there once. */
    int index(String name) {
        int[] found = IntStream.range(0, fields.length)
                .filter(i -> fields[i].name().equals(name))
                .toArray();
        if (found.length != 1) {
            String names = Stream.of(fields).map(StructField::name).collect(Collectors.joining(", "));
            throw refusal("column " + name, found.length == 0 ? "missing" : "there twice", "one of " + names);
        }
        return found[0];
    }

    IllegalArgumentException refusal(String what, Object actual, String expected) {
        return new IllegalArgumentException(where + ": " + what + " is " + actual + ", expected " + expected);
    }
}
