module counter;
  reg [7:0] n = 6;
  initial begin $display("%0d", n * 7); $finish; end
endmodule
