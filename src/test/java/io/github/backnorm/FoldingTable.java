package io.github.backnorm;

import io.github.backnorm.FoldedColumn.Entry;
import java.math.MathContext;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;

/**
 * Prints the largest errors of folded networks, of which docs/numerics.md gives some, over groups of {@link
 * HardColumns}: in ulp of the exact result, and as a part of the bound of {@link Network#folded}.
 */
final class FoldingTable {
    private static final List<HardColumns> GROUPS = List.of(
            HardColumns.ORDINARY,
            HardColumns.MEAN_1E8,
            HardColumns.VARIANCE_1E_20,
            HardColumns.CONSTANT,
            HardColumns.VALUES_1E150,
            HardColumns.TINY_BESIDE_EPSILON,
            HardColumns.GAMMA_ZERO_OR_NEGATIVE,
            HardColumns.INFERENCE_CANCELS);

    private FoldingTable() {}

    public static void main(String[] args) {
        System.out.println("| columns | network | folded | identity, network | identity, folded | part of the bound |");
        System.out.println("|---|---|---|---|---|---|");
        for (HardColumns group : GROUPS) {
            List<HardColumns.Batch> batches = group.batches();
            List<FoldedColumn> columns = FoldedColumn.of(batches, false);
            List<FoldedColumn> ofIdentity = FoldedColumn.of(batches, true);
            System.out.printf(
                    Locale.ROOT,
                    "| %s | %.1g | %.1g | %.1g | %.1g | %.2f |%n",
                    group,
                    worst(columns, FoldedColumn::unfolded, FoldingTable::ulps),
                    worst(columns, FoldedColumn::folded, FoldingTable::ulps),
                    worst(ofIdentity, FoldedColumn::unfolded, FoldingTable::ulps),
                    worst(ofIdentity, FoldedColumn::folded, FoldingTable::ulps),
                    Math.max(
                            worst(columns, FoldedColumn::folded, FoldingTable::partOfBound),
                            worst(ofIdentity, FoldedColumn::folded, FoldingTable::partOfBound)));
        }
    }

    private static double worst(
            List<FoldedColumn> columns, Function<FoldedColumn, List<Entry>> entries, Function<Entry, Double> error) {
        return columns.stream()
                .flatMap(column -> entries.apply(column).stream())
                .mapToDouble(error::apply)
                .max()
                .orElseThrow();
    }

    private static double ulps(Entry entry) {
        return entry.error()
                / Math.ulp(entry.exact().round(MathContext.DECIMAL64).doubleValue());
    }

    private static double partOfBound(Entry entry) {
        return entry.error() / entry.bound();
    }
}
