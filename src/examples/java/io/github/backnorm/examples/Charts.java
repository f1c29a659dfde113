package io.github.backnorm.examples;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYSeries.XYSeriesRenderStyle;
import org.knowm.xchart.internal.chartpart.AxesChart;
import org.knowm.xchart.style.AxesChartStyler;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** What the pictures of the documentation have in common: they must be legible on phones and slides. */
final class Charts {
    static final int WIDTH = 800;
    static final int HEIGHT = 520;
    static final Font FONT = new Font(Font.SANS_SERIF, Font.PLAIN, 24); // 11 pixels on a phone 380 wide
    // told apart by the color-blind too (Okabe and Ito 2008)
    static final Color BLUE = new Color(0x0072B2);
    static final Color PALE_BLUE = new Color(0x56B4E9);
    static final Color ORANGE = new Color(0xD55E00);
    static final Color GRAY = new Color(0x999999);
    private static final Color INK = new Color(0x24292F);
    private static final Color GRID = new Color(0xD8DEE4);
    private static final int DPI = 144; // twice WIDTH×HEIGHT

    private Charts() {}

    /** The paper is white, so that a page may be dark. */
    static void style(AxesChartStyler style) {
        style.setChartTitleFont(FONT.deriveFont(Font.BOLD));
        style.setLegendFont(FONT).setLegendPosition(LegendPosition.OutsideS).setLegendBorderColor(Color.WHITE);
        style.setChartBackgroundColor(Color.WHITE).setChartFontColor(INK).setChartPadding(16);
        style.setAxisTitleFont(FONT).setAxisTickLabelsFont(FONT).setAxisTickLabelsColor(INK);
        style.setAxisTicksLineVisible(false).setAxisTicksMarksVisible(false).setPlotBorderVisible(false);
        style.setPlotGridLinesColor(GRID).setPlotGridLinesStroke(new BasicStroke(1));
    }

    /** Draws a line within a band. */
    static void band(XYChart chart, String name, Color color, double[] x, double[] least, double[] y, double[] most) {
        Color pale = new Color(color.getRed(), color.getGreen(), color.getBlue(), 50);
        chart.addSeries("range " + name, thereAndBack(x, x), thereAndBack(least, most))
                .setXYSeriesRenderStyle(XYSeriesRenderStyle.PolygonArea)
                .setMarker(SeriesMarkers.NONE)
                .setLineColor(pale)
                .setFillColor(pale)
                .setShowInLegend(false);
        chart.addSeries(name, x, y)
                .setMarker(SeriesMarkers.CIRCLE)
                .setMarkerColor(color)
                .setLineColor(color)
                .setLineStyle(new BasicStroke(4));
    }

    private static double[] thereAndBack(double[] there, double[] back) {
        DoubleStream reversed = IntStream.range(0, back.length).mapToDouble(i -> back[back.length - 1 - i]);
        return DoubleStream.concat(DoubleStream.of(there), reversed).toArray();
    }

    static void save(AxesChart<?, ?> chart, Path png) throws IOException {
        Files.createDirectories(png.toAbsolutePath().getParent());
        BitmapEncoder.saveBitmapWithDPI(chart, png.toString(), BitmapFormat.PNG, DPI);
    }
}
