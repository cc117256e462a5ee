import java.awt.*;
import java.awt.image.BufferedImage;

public class Draw {
    public static void main(String[] args) {
        BufferedImage image = new BufferedImage(200, 40, BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = image.createGraphics();
        graphics.setFont(new Font("SansSerif", Font.PLAIN, 20));
        graphics.drawString("drawn", 5, 30);
        int ink = 0;
        for (int y = 0; y < 40; y++) {
            for (int x = 0; x < 200; x++) {
                if ((image.getRGB(x, y) & 0xff) > 0) ink++;
            }
        }
        System.out.println("ink " + (ink > 50));
    }
}
